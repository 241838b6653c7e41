// Package clouds lets a collection lie in a bucket of Amazon S3 or what speaks like it,
// of Google Cloud Storage, or of Azure Blob Storage. A program imports it for its effect:
//
//	import _ "github.com/varvekv/varve/clouds"
//
// Then [varve.OpenCollection], [varve.Backup] and [varve.Restore] take these URLs, in
// which the path is the collection's:
//
//	s3://bucket/path
//	gs://bucket/path
//	azblob://container/path, azure://container/path, azure-blob://container/path
//
// Parameters are those that CockroachDB takes and those of gocloud.dev's drivers. One
// that is not known, is given twice or contradicts another is a *[varve.OptionError],
// which names the parameter and does not show its value. Values are escaped as in
// every URL; a + of a key is %2B.
//
// Credentials come from the URL, or from the environment and whatever else the cloud's
// own library looks at:
//
//   - AUTH=specified takes them from the URL and from nowhere else. It is the default
//     where there are any.
//   - AUTH=implicit takes them from the environment. It is the default where the URL
//     has none.
//
// They are given to the client of the cloud, and to nobody else: they are in no object,
// no error and no log.
//
// # Amazon S3
//
//	AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
//	AWS_REGION             or region
//	AWS_ENDPOINT           or endpoint: another service that speaks S3
//	AWS_USE_PATH_STYLE     or use_path_style, s3ForcePathStyle: true for most of these
//	AWS_SKIP_CHECKSUM      true for services that do not know newer checksums
//	S3_STORAGE_CLASS       of new objects; not one that must be thawed to be read
//	AWS_SERVER_ENC_MODE    or ssetype: AES256, aws:kms
//	AWS_SERVER_KMS_ID      or kmskeyid
//	ASSUME_ROLE            or role: "arn;external_id=id,arn", each assumed by the one before
//
// Of gocloud: accelerate, anonymous, disable_https, dualstack, fips, hostname_immutable,
// profile, rate_limiter_capacity, request_checksum_calculation,
// response_checksum_validation.
//
// A process that is killed leaves the parts of what it was uploading. A rule of the
// bucket that aborts incomplete uploads after a day clears them away.
//
// # Google Cloud Storage
//
//	CREDENTIALS            JSON of a service account or an authorized user, in base64
//
// Of gocloud: access_id, anonymous, grpc, private_key_path, universe_domain, zonal.
//
// # Azure
//
//	AZURE_ACCOUNT_NAME     or storage_account
//	AZURE_ACCOUNT_KEY      a key of the account; or an application of Entra ID:
//	AZURE_CLIENT_ID, AZURE_CLIENT_SECRET, AZURE_TENANT_ID
//	AZURE_ENVIRONMENT      AzurePublicCloud, AzureUSGovernmentCloud, AzureChinaCloud
//
// Of gocloud: cdn, domain, localemu, protocol. Without credentials in the URL the
// variables that gocloud knows are read, each time: AZURE_STORAGE_ACCOUNT with
// AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or AZURE_STORAGE_CONNECTION_STRING; else
// Azure's default credentials are tried.
//
// # Faults
//
// A request that fails is repeated up to eleven times with pauses of at most three
// seconds, and one that gets no answer within half a minute has failed; the drivers
// themselves wait without end. So an outage of several seconds is not noticed. What is
// left is repeated by varve, above the drivers.
package clouds
