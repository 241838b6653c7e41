package varve_test

// compactMutants break what is made of layers that are merged, and what is made of that.
func compactMutants() []mutant {
	return []mutant{
		{name: "a window forgets what was deleted", vital: true, edits: []edit{
			{"compactplan.go", "	return merge.Changes\n", "	return merge.State\n"},
		}, test: inRoot("Compact")},
		{name: "a window does not say what it introduces", edits: []edit{
			{"window.go", "	return subtractSpans(m.order, m.last().Spans, older)\n", "	return nil\n"},
		}, test: inRoot("CompactHistory")},
		{name: "history reaches over what was introduced", edits: []edit{
			{"window.go", "case len(m.Introduced) > 0 || !m.isAbout(below):", "case false:"},
		}, test: inRoot("CompactHistory")},
		{name: "history reaches over layers that have none", edits: []edit{
			{"window.go", "case m.Oldest != m.Start:", "case m.Oldest != m.Start && m.Layer == \"\":"},
		}, test: inRoot("CompactHistory")},
		{name: "history is that of the last layer", edits: []edit{
			{"window.go", "		oldest = below.Oldest\n", "		return oldest\n"},
		}, test: inRoot("CompactHistory")},
		{name: "history is merged like a state", edits: []edit{
			{"compactplan.go", "		return merge.History\n", "		return merge.Changes\n"},
		}, test: inRoot("CompactHistory")},
		{name: "a merge with history leaves out what a range deleted", edits: []edit{
			{"internal/merge/merge.go", "return c.opts.Output == History || !c.deleted", "return !c.deleted"},
		}, test: []string{"./internal/merge", "^TestHistoryStandsForItsLevels$"}},
		{name: "a merge with history has each key once", edits: []edit{
			{"internal/merge/merge.go", "(c.opts.Output != History || e.Timestamp == c.time)", "(c.opts.Output <= History || e.Timestamp == c.time)"},
		}, test: []string{"./internal/merge", "^TestHistoryStandsForItsLevels$"}},
		{name: "files stay although others lie on them", vital: true, edits: []edit{
			{"compactplan.go", "	return !src.Next(), src.Err()\n", "	return src.Next() || true, src.Err()\n"},
		}, test: inRoot("CompactRefersToWhatIsUntouched")},
		{name: "whatever has a file over it is written again", edits: []edit{
			{"compactplan.go", "	return !src.Next(), src.Err()\n", "	return src.Next() && false, src.Err()\n"},
		}, test: inRoot("CompactRefersToWhatIsUntouched")},
		{name: "bounds of files say nothing", edits: []edit{
			{"compactplan.go", "compare(f.Smallest, span.End) < 0) && compare(f.Largest, span.Start) >= 0", "compare(f.Smallest, span.End) < 0) && compare(f.Largest, span.Start) < 0"},
		}, test: inRoot("Compact")},
		{name: "what stays is merged, too", edits: []edit{
			{"compactplan.go", "clipViews(m.order, rest, subtractSpans(m.order, spans, gone))", "clipViews(m.order, rest, spans)"},
		}, test: inRoot("CompactRefersToWhatIsUntouched")},
		{name: "files of what is on its way out are shared", edits: []edit{
			{"compactplan.go", "		stays[v.Layer] = err == nil\n", "		stays[v.Layer] = true\n"},
		}, test: inRoot("CompactRefusals")},
		{name: "what is on its way out is extended", vital: true, edits: []edit{
			{"compactplan.go", "	if m.parent != nil {\n		if err := m.refer(", "	if m.parent != nil && ctx == nil {\n		if err := m.refer("},
		}, test: inRoot("CompactRefusals")},
		{name: "what shares files passes for what was written again", edits: []edit{
			{"window.go", "return !m.opts.Rewrite || len(l.Refers) == 0", "return m.bucket != nil || len(l.Refers) == 0"},
		}, test: inRoot("CompactAgain")},
		{name: "a window is compacted again and again", edits: []edit{
			{"window.go", "if l.ParentID != m.layer.ParentID || l.Start != m.layer.Start || retired[id] {", "if l.ID != \"\" || retired[id] {"},
		}, test: inRoot("CompactAgain")},
		{name: "a stand-in has no base", edits: []edit{
			{"standin.go", "		return r.parent.StandsFor, nil\n", ""},
		}, test: inRoot("Compact")},
		{name: "the base of what is gone is an orphan's", edits: []edit{
			{"base.go", " < orphanGrace || s.Name == r.base {", " < orphanGrace {"},
		}, test: inRoot("CompactThenExpire")},
		{name: "a layer and its stand-in are two points", edits: []edit{
			{"expireplan.go", "		case retired, pt.standIn != nil:\n", "		case retired:\n"},
		}, test: inRoot("CompactThenExpire")},
		{name: "a stand-in is one layer long", edits: []edit{
			{"index.go", "		return max(1, len(manifest.Covers)), nil\n", "		return 1, nil\n"},
		}, test: inRoot("CompactThenExpire")},
		{name: "a stand-in comes before its layer", edits: []edit{
			{"index.go", "u.layers-t.layers", "t.layers-u.layers"},
		}, test: inRoot("Compact")},
		{name: "objects are those of all times", edits: []edit{
			{"objecthistory.go", "!seen[id] && !last.Dropped {", "seen[id] && last.Dropped {"},
		}, test: inRoot("ObjectHistory")},
		{name: "objects are listed from before they were targets", edits: []edit{
			{"objecthistory.go", "		v.Timestamp = start.Next()\n", ""},
		}, test: inRoot("ObjectHistory")},
		{name: "what stays is not counted", edits: []edit{
			{"compact.go", "		if err := m.count(ctx, v); err != nil {\n			return err\n		}\n", ""},
		}, test: inRoot("CatalogModel")},
		{name: "a chain becomes too long by one", edits: []edit{
			{"shorten.go", "n < r.opts.MaxChain {\n		return parent, err", "n <= r.opts.MaxChain {\n		return parent, err"},
		}, test: inRoot("MaxChain")},
		{name: "no backup where the chain cannot be compacted", edits: []edit{
			{"shorten.go", "	if ctx.Err() != nil {\n", "	if err != nil {\n"},
		}, test: inRoot("MaxChain")},
	}
}
