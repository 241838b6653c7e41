//go:build !race

package pebblekv_test

const asserting = false
