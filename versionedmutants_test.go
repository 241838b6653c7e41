package varve_test

import "slices"

// versionedMutants break the store of versions: what it exports, what it keeps, and what it
// does about locks.
func versionedMutants() []mutant {
	return slices.Concat(windowMutants(), keptMutants(), lockMutants())
}

// inMvcckv is a test of that package.
func inMvcckv(test string) []string { return []string{"./export/mvcckv", "^Test" + test + "$"} }

func windowMutants() []mutant {
	const (
		cursor   = "export/mvcckv/cursor.go"
		snapshot = "export/mvcckv/snapshot.go"
		read     = "export/mvcckv/read.go"
		changes  = "export/mvcckv/changes.go"
	)
	windows := inMvcckv("EveryWindow")
	return []mutant{
		{name: "a version of where the window begins is in it", edits: []edit{
			{cursor, "at.Compare(c.since) <= 0", "at.Compare(c.since) < 0"},
		}, test: windows},
		{name: "a version of where the window ends is not in it", edits: []edit{
			{read, "t.Compare(v.until) <= 0 || t == v.own", "t.Compare(v.until) < 0 || t == v.own"},
		}, test: windows},
		{name: "versions after the snapshot are in it", edits: []edit{
			{cursor, "if !c.seen.has(at) {", "if !c.seen.has(at) && !c.all {"},
		}, test: windows},
		{name: "only newest versions are in it", edits: []edit{
			{cursor, "	c.done = !c.all\n", "	c.done = true\n"},
		}, test: windows},
		{name: "all versions are newest ones", edits: []edit{
			{cursor, "	c.done = !c.all\n", "	c.done = false\n"},
		}, test: windows},
		{name: "deletions of a window are left out", edits: []edit{
			{cursor, "return kind == export.Set || c.all || !c.since.IsZero(), nil", "return kind == export.Set || c.all, nil"},
		}, test: windows},
		{name: "a page goes on with the next key", vital: true, edits: []edit{
			{cursor, "if !c.all || p.Timestamp.IsZero() {", "if !c.all || !p.Timestamp.IsZero() {"},
		}, test: windows},
		{name: "a page begins with the version that ended the one before", edits: []edit{
			{cursor, "if at == p.Timestamp && string(key) == string(p.Key) {", "if at == p.Timestamp && key == nil {"},
		}, test: windows},
		{name: "a page of newest versions goes on within the key", edits: []edit{
			{cursor, "return bareKey(nextKey(p.Key))", "return bareKey(p.Key)"},
		}, test: windows},
		{name: "blocks of the first wall time are skipped", edits: []edit{
			{snapshot, "NewMVCCTimeIntervalFilter(uint64(since.WallNanos), ", "NewMVCCTimeIntervalFilter(uint64(since.WallNanos)+1, "},
		}, test: windows},
		{name: "blocks of the last wall time are skipped", edits: []edit{
			{snapshot, ", uint64(until.WallNanos)))", ", uint64(until.WallNanos)-1))"},
		}, test: windows},
		{name: "blocks of what was replaced last are skipped", edits: []edit{
			{changes, "uint64(since.WallNanos)))", "uint64(since.WallNanos)-1))"},
		}, test: windows},
	}
}

func keptMutants() []mutant {
	const (
		keeper = "export/mvcckv/keeper.go"
		gc     = "export/mvcckv/gc.go"
	)
	held := inMvcckv("CollectHeldBack")
	return []mutant{
		{name: "named snapshots hold nothing", edits: []edit{
			{keeper, "if !s.tooOld(k) {", "if s.tooOld(k) {"},
		}, test: held},
		{name: "named snapshots hold nothing after a restart", edits: []edit{
			{keeper, "		s.named[k.name] = k\n		return nil\n", "		return nil\n"},
		}, test: held},
		{name: "open snapshots hold nothing", edits: []edit{
			{keeper, "t = earlier(t, v.at)", "_ = v"},
		}, test: held},
		{name: "open transactions hold nothing", edits: []edit{
			{keeper, "t = earlier(t, tx.read)", "_ = tx"},
		}, test: held},
		{name: "what is held is forgotten all the same", edits: []edit{
			{gc, "m.Oldest = later(m.Oldest, s.protected(earlier(before, now)))", "m.Oldest = later(m.Oldest, earlier(before, now))"},
		}, test: held},
		{name: "the age of snapshots has no bound", edits: []edit{
			{keeper, "return age > 0 &&", "return age < 0 &&"},
		}, test: inMvcckv("SnapshotMaxAge")},
		{name: "what can be read at the threshold goes", edits: []edit{
			{gc, "	case g.covered:\n", "	case g.covered || len(key) > 0:\n"},
		}, test: inMvcckv("Collect")},
		{name: "the future is forgotten", edits: []edit{
			{gc, "later(m.Oldest, s.protected(earlier(before, now)))", "later(m.Oldest, s.protected(before))"},
		}, test: held},
		{name: "changes since what was forgotten are told", edits: []edit{
			{"export/mvcckv/snapshot.go", "!since.IsZero() && since.Compare(oldest) < 0", "!since.IsZero() && since.Compare(oldest) < -1"},
		}, test: inMvcckv("OpenCursorOutlivesCollect")},
	}
}

func lockMutants() []mutant {
	const (
		snapshot = "export/mvcckv/snapshot.go"
		lock     = "export/mvcckv/lock.go"
	)
	return []mutant{
		{name: "locks are no end", vital: true, edits: []edit{
			{snapshot, "if met := locks(); len(met) > 0 {", "if met := locks(); len(met) > len(db.locks) {"},
		}, test: inMvcckv("DeadHolder")},
		{name: "what is behind a lock is not missed", edits: []edit{
			{"export/mvcckv/cursor.go", "if c.locked != nil {", "if c.locked != nil && c.it == nil {"},
		}, test: inMvcckv("DeadHolder")},
		{name: "pages after a lock do not meet the next", edits: []edit{
			{snapshot, "locks[0].key <= string(resume.Key)", "locks[0].key != string(resume.Key)"},
		}, test: inMvcckv("ResumeBeyondLock")},
		{name: "locks of the process before are forgotten", edits: []edit{
			{lock, "		t.lock(key)\n		return nil\n", "		return nil\n"},
		}, test: inMvcckv("DeadHolder")},
		{name: "who died is committed", edits: []edit{
			{lock, "		if r.Committed {\n", "		if r.Committed || !r.Write.IsZero() {\n"},
		}, test: inMvcckv("DeadHolder")},
		{name: "who is pushed leaves what it wrote", edits: []edit{
			{lock, "if err == nil && to == aborted {", "if err == nil && to == running {"},
		}, test: inMvcckv("ExportPushes")},
		{name: "what was exported is written below", edits: []edit{
			{snapshot, "	s.reads.low = later(s.reads.low, snap.at)\n", ""},
		}, test: inMvcckv("NeverBelowRead")},
	}
}
