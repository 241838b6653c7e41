package pebblekv

import (
	"github.com/cockroachdb/pebble/v2"

	"github.com/varvekv/varve/export"
)

// orderOf is the order of a comparer with its defaults filled in; nil for
// Pebble's own bytewise one.
func orderOf(c *pebble.Comparer) *export.Order {
	if c.Name == pebble.DefaultComparer.Name {
		return nil
	}
	return &export.Order{
		Name:            c.Name,
		Compare:         c.Compare,
		Split:           c.Split,
		CompareSuffixes: c.CompareRangeSuffixes,
	}
}
