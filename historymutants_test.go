package varve_test

// historyMutants break how revisions are exported, kept and restored, and what is done
// about locks.
func historyMutants() []mutant {
	model := []string{".", "^TestModelOfHistory$", "-model.seed=1", "-model.time=25s"}
	in := func(test string) []string { return []string{".", "^Test" + test + "$"} }
	return []mutant{
		{name: "revisions of the moment itself are left out", edits: []edit{
			{"internal/merge/merge.go", "t.Compare(c.opts.AsOf) <= 0", "t.Compare(c.opts.AsOf) < 0"},
		}, test: model},
		{name: "revisions after the moment count", edits: []edit{
			{"loadtask.go", "AsOf: r.chain.within(),", ""},
		}, test: model},
		{name: "files after the moment count, others do not", edits: []edit{
			{"content.go", "v.MinTimestamp.Compare(t) > 0", "v.MaxTimestamp.Compare(t) > 0"},
		}, test: model},
		{name: "only the newest revisions are exported", edits: []edit{
			{"entries.go", "Since: r.parent.End, Revisions: r.opts.RevisionHistory, ", "Since: r.parent.End, "},
		}, test: model},
		{name: "only the newest revisions of a full are exported", edits: []edit{
			{"entries.go", "req := export.Request{Span: t.span, Revisions: r.opts.RevisionHistory, ", "req := export.Request{Span: t.span, "},
		}, test: model},
		{name: "a page ends with the key", edits: []edit{
			{"pages.go", "		position.Key = slices.Clone(position.Key)\n", "		position = export.Position{Key: slices.Clone(position.Key)}\n"},
		}, test: model},
		{name: "a page ends between ranges", edits: []edit{
			{"pages.go", " && !next.entry.Kind.IsRange() {", " {"},
		}, test: model},
		{name: "a page begins with the last entry of the one before", edits: []edit{
			{"pages.go", "if n := len(p.page); n > 0 {", "if n := len(p.page) - 1; n > 0 {"},
		}, test: model},
		{name: "the digest counts old revisions", edits: []edit{
			{"liverows.go", "bytes.Equal(l.last, e.Key) {", "bytes.Equal(l.last, e.Key) && l.rower == nil {"},
		}, test: model},
		{name: "the digest counts deletions", edits: []edit{
			{"liverows.go", "return e.Kind == export.Set && !slices", "return !slices"},
			{"internal/digest/digest.go", "	case export.Set:\n", "	case export.Set, export.Delete:\n"},
		}, test: model},
		{name: "all range keys that were are in the digest", edits: []edit{
			{"liverows.go", "live = merge.LiveRanges(l.order, live)", "_ = merge.LiveRanges"},
		}, test: model},
		{name: "what was compared has a window", edits: []edit{
			{"locks.go", "case !r.opts.RevisionHistory, r.changes == FromChain:", "case !r.opts.RevisionHistory:"},
		}, test: model},
		{name: "a window begins with the first revision", edits: []edit{
			{"locks.go", "	r.gone = now.Oldest\n", "	_ = now\n"},
		}, test: model},
		{name: "history that goes while it is exported is promised", edits: []edit{
			{"locks.go", "	r.gone = now.Oldest\n", "	_, r.gone = now, r.info.Oldest\n"},
		}, test: in("HistoryShrinksWhileExported")},
		{name: "no base holds history", edits: []edit{
			{"base.go", "keepOwn := !r.opts.NoBase", "keepOwn := false"},
		}, test: in("HistoryIsHeld")},
		{name: "a run holds no history", edits: []edit{
			{"base.go", "if keeper == nil || r.parent == nil ||", "if true || keeper == nil || r.parent == nil ||"},
		}, test: in("BaseIsTakenAgain")},
		{name: "a run that fails holds history for ever", edits: []edit{
			{"base.go", "if err == nil && r.retaken {", "if err == nil && r.retaken && keeper == nil {"},
		}, test: in("BaseIsTakenAgain")},
		{name: "revisions of before are written over younger ones", edits: []edit{
			{"compare.go", "if r.info.Revisions && e.Timestamp", "if r.c == nil && e.Timestamp"},
		}, test: in("SpanWasLoaded")},
		{name: "what is behind a lock is left out", edits: []edit{
			{"export.go", "	e.queue.Retry(e.number([]task{*rest})[0], delay)\n", "	e.queue.Done()\n"},
		}, test: in("LockGoesToTheTail")},
		{name: "the lock is left out", edits: []edit{
			{"entries.go", "	t.span.End, rest.task.pushing = rest.task.span.Start, 0\n", "	rest.task.span.Start = append(slices.Clone(l.Key), 0)\n"},
		}, test: in("LockGoesToTheTail")},
		{name: "locks are never pushed", edits: []edit{
			{"pages.go", "		req.Locks = export.PushLocks\n", ""},
			{"locks.go", "		return export.PushLocks\n", "		return export.SkipLocks\n"},
		}, test: in("LockIsPushed")},
		{name: "changes before a lock count twice", edits: []edit{
			{"entries.go", "	err = r.copy(w, r.paced(ctx, r.guard(changes, req)), func", "	defer func() {\n		if err != nil {\n			r.ledger.join(w.part.take())\n		}\n	}()\n	err = r.copy(w, r.paced(ctx, r.guard(changes, req)), func"},
		}, test: in("ToldChangesBehindLock")},
	}
}
