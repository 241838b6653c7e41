//go:build !race

package varve_test

const asserting = false
