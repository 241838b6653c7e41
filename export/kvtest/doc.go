// Package kvtest is the conformance suite of the contract in package export. An
// adapter writes a [Harness] and runs
//
//	func TestConformance(t *testing.T) {
//		kvtest.Run(t, func(t *testing.T) kvtest.Harness { return newHarness(t) })
//	}
//
// Sub-tests are named for the obligations E1 to E11 of package export, Since for what it
// says of changes, and Catalog for what it says of objects. Everything runs twice:
// against the store as it is, and below "Plain" with its optional abilities hidden. What an adapter cannot do, because it goes one way only or
// because the harness lacks a method, is skipped.
//
// [Collect], [Canonical], [Timeless] and [Apply] are for other tests that compare
// what stores hold.
package kvtest
