package main

import "context"

// operation is what every tool is asked to do.
type operation struct {
	name     string
	title    string  // above its table
	short    string  // in a plot of growth
	change   *change // made, and flushed, before it
	settles  bool    // and the engine compacts as it likes before it
	restores bool
	applied  []change // all that have been made by then
	run      func(ctx context.Context, t tool, j *job) error
}

func full(ctx context.Context, t tool, j *job) error        { return t.full(ctx, j) }
func incremental(ctx context.Context, t tool, j *job) error { return t.incremental(ctx, j) }
func restore(ctx context.Context, t tool, j *job) error     { return t.restore(ctx, j) }

const (
	opFull      = "full"
	opRestore   = "restore"
	opNothing   = "nothing"
	opRandom    = "random"
	opClustered = "clustered"
	opCompacted = "compacted"
	opNewest    = "newest"
)

// operations are all of them, in the order in which a tool does them. Those after the
// restore of the full need incrementals.
func operations() []operation {
	scattered, neighbours, again := change{Generation: 1}, change{Generation: 2, Clustered: true}, change{Generation: 3}
	return []operation{
		{name: opFull, title: "Full backup", short: "full", run: full},
		{name: opRestore, title: "Restore of the full", short: "restore", restores: true, run: restore},
		{name: opNothing, title: "Incremental: nothing changed", run: incremental},
		{name: opRandom, title: "Incremental: 1 % changed, scattered", short: "incremental, 1 % scattered", change: &scattered, applied: []change{scattered}, run: incremental},
		{name: opClustered, title: "Incremental: 1 % changed, neighbours", change: &neighbours, applied: []change{scattered, neighbours}, run: incremental},
		{name: opCompacted, title: "Incremental: 1 % changed, scattered, and compactions left to end", change: &again, settles: true, applied: []change{scattered, neighbours, again}, run: incremental},
		{name: opNewest, title: "Restore after the incrementals", restores: true, applied: []change{scattered, neighbours, again}, run: restore},
	}
}

func operationNamed(name string) (operation, bool) {
	for _, o := range operations() {
		if o.name == name {
			return o, true
		}
	}
	return operation{}, false
}

// needsIncrementals says whether a tool that only takes fulls cannot do it.
func (o operation) needsIncrementals() bool { return o.name != opFull && o.name != opRestore }
