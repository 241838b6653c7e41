// Package integration has no code but tests: of varve with real servers of S3, Google
// Cloud Storage and Azure Blob Storage on this machine, in good and in bad networks.
//
// The script servers in this folder installs what they need; the variable VARVE_SERVERS
// names the folder that it prints, else the one it uses by itself is looked into. Tests
// whose server is missing are skipped, and fail where the variable CI is true. The one of
// Google Cloud Storage is linked into the tests.
package integration
