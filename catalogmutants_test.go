package varve_test

// catalogMutants break how databases and tables are found, backed up, moved and restored.
func catalogMutants() []mutant {
	in := func(test string) []string { return []string{".", "^Test" + test + "$"} }
	return []mutant{
		{name: "new tables are taken for changes", edits: []edit{
			{"parent.go", "	r.kept = intersectSpans(r.info.Order, r.spans, r.parent.Spans)\n	r.introduced = subtractSpans(r.info.Order, r.spans, r.parent.Spans)\n", "	r.kept = r.spans\n"},
		}, test: in("DatabaseFollowsItsTables")},
		{name: "history is of the tables of the end", edits: []edit{
			{"objects.go", "joinSpans(r.info.Order, append(spans, seen.now.spans(r.info.Order)...))", "seen.now.spans(r.info.Order)"},
		}, test: in("CatalogModel")},
		{name: "a name that is not known yet hides others", edits: []edit{
			{"objects.go", "then := r.targets.selectKnown(c)", "then, err := r.targets.selectFrom(c)\n		if err != nil {\n			return\n		}"},
		}, test: in("CatalogModel")},
		{name: "names are those of the end", edits: []edit{
			{"objects.go", "if found || !t.IsZero() && v.Timestamp.Compare(t) > 0 {", "if found {"},
		}, test: in("CatalogModel")},
		{name: "what was dropped is there", edits: []edit{
			{"objects.go", "			found = true\n			if !v.Dropped {", "			found = true\n			if true {"},
		}, test: in("CatalogModel")},
		{name: "a hole is backed up", vital: true, edits: []edit{
			{"aim.go", "r.spans = subtractSpans(r.info.Order, spans, holes)", "r.spans = spans"},
		}, test: in("Exclude")},
		{name: "a hole is asked of the layer", edits: []edit{
			{"restore.go", "	wanted = subtractSpans(r.info.Order, wanted, m.Excluded)\n", ""},
		}, test: in("Exclude")},
		{name: "keys are not moved", edits: []edit{
			{"loadtask.go", "return l.Loader.Add(moved)", "_ = moved\n	return l.Loader.Add(e)"},
		}, test: in("TableBesideTheLiveOne")},
		{name: "files whose keys move are linked", edits: []edit{
			{"loadplan.go", "r.tables == nil || r.moveOf(p.span) != nil", "r.tables == nil"},
		}, test: in("RenamedFilesAreLinked")},
		{name: "what is replaced stays where nothing is loaded", vital: true, edits: []edit{
			{"export/internal/staging/clear.go", "	gaps := s.gaps()", "	gaps := s.gaps()[:0]"},
		}, test: inPebblekv("ReplaceSeveral")},
		{name: "what is replaced stays under what is loaded", edits: []edit{
			{"export/internal/staging/loader.go", "	if l.clears {", "	if false {"},
		}, test: inPebblekv("ReplaceSeveral")},
		{name: "range keys that are replaced stay", edits: []edit{
			{"export/internal/staging/clear.go", "	return w.RangeKeyDelete(start, end)", "	return nil"},
		}, test: inPebblekv("ReplaceSeveral")},
		{name: "objects need what they needed elsewhere", edits: []edit{
			{"settle.go", "On: s.ids[d.On]", "On: d.On"},
		}, test: in("TableBesideTheLiveOne")},
		{name: "names that are taken are taken again", edits: []edit{
			{"settle.go", "return o.ID != placed", "return o.ID == placed"},
		}, test: in("WhatARestoreRefuses")},
		{name: "an older layer stands in for one that has lost a table", edits: []edit{
			{"restore.go", "!isOtherTarget(err) || r.shouldHold(m)", "!isOtherTarget(err)"},
		}, test: in("DroppedTableIsNotFoundElsewhere")},
		{name: "indexes are rows", edits: []edit{
			{"tally.go", "rows: i == 0", "rows: i >= 0"},
		}, test: in("CountsOfObjects")},
		{name: "what lies over a copied table counts twice", edits: []edit{
			{"tables.go", "			w.tally.remove(former)\n", "			_ = former\n"},
		}, test: in("DeclaredTables")},
	}
}
