//go:build race

package varve_test

// asserting says that Pebble checks itself, as it does under the race detector.
const asserting = true
