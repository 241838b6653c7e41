//go:build race

package pebblekv_test

// asserting says that Pebble checks itself, as it does under the race detector.
const asserting = true
