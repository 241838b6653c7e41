package varve_test

import "slices"

// differenceMutants break how a Pebble store finds what has changed.
func differenceMutants() []mutant {
	const (
		difference = "export/pebblekv/difference.go"
		candidates = "export/pebblekv/candidates.go"
		lsm        = "export/pebblekv/lsm.go"
		raw        = "export/pebblekv/raw.go"
		changes    = "export/pebblekv/changes.go"
		stage      = "export/pebblekv/stage.go"
		moment     = "export/pebblekv/moment.go"
	)
	return []mutant{
		{name: "tables that only the base has are skipped", vital: true, edits: []edit{
			{difference, "d.before = slices.DeleteFunc(slices.Clone(before), func(t *tableFile) bool { return matched[t] })", "d.before = nil"},
		}, test: inPebblekv("ChangesOfRandomHistories")},
		{name: "tables that only the later one has are skipped", edits: []edit{
			{difference, "d.after = append(d.after, t)", "_ = t"},
		}},
		{name: "the log is skipped", vital: true, edits: []edit{
			{difference, "d.survey(ctx, base, now)", "d.survey(ctx)"},
		}, test: inPebblekv("ChangesOfRandomHistories")},
		{name: "the log of the base is skipped", edits: []edit{
			{difference, "d.survey(ctx, base, now)", "d.survey(ctx, now)"},
		}},
		{name: "range deletions are ignored", vital: true, edits: []edit{
			{lsm, "open := r.NewRawRangeDelIter", "open := r.NewRawRangeKeyIter"},
		}, test: inPebblekv("RangeFromTheFirstKey")},
		{name: "range keys are ignored", edits: []edit{
			{lsm, "open = r.NewRawRangeKeyIter", "open = r.NewRawRangeDelIter"},
		}},
		{name: "the last key of the log in a span is left out", vital: true, edits: []edit{
			{difference, "keys = keys[:to]", "keys = keys[:max(to-1, 0)]"},
		}, test: inPebblekv("ChangesOfRandomHistories")},
		{name: "the largest key of a table is above all", edits: []edit{
			{candidates, "c.cmp(key, t.Largest.UserKey) <= 0", "c.cmp(key, t.Largest.UserKey) < 0"},
		}, test: inPebblekv("MovedBelowSharedTable")},
		{name: "spans that overlap end with the first", edits: []edit{
			{difference, "order.CompareEnds(s.End, apart[n-1].End) > 0", "order.CompareEnds(s.End, apart[n-1].End) < 0"},
		}},
		{name: "nothing follows a span that is compared", edits: []edit{
			{stage, "rest.Start, left = part.End, len(part.End) > 0", "rest.Start, left = part.End, false"},
		}},
		{name: "nothing before the first key is everything", edits: []edit{
			{stage, "if cmp(rest.Start, part.Start) < 0 {", "if cmp(rest.Start, part.Start) <= 0 {"},
		}},
		{name: "tables of one number are one table", edits: []edit{
			{difference, "if one, err = t.same(u); err != nil {", "if one = true; err != nil {"},
		}, test: inPebblekv("RolledBackDatabase")},
		{name: "an excise is not seen", edits: []edit{
			{lsm, "		smallest: edge(t.Smallest), largest: edge(t.Largest),\n", ""},
			{lsm, "table: uint64(t.FileNum), backing", "backing"},
			{lsm, "	edge := func(k pebble.InternalKey) string { return fmt.Sprintf(\"%d %s\", k.Trailer, k.UserKey) }\n", ""},
			{lsm, "virtual: t.Virtual,", ""},
		}, test: inPebblekv("ChangesOfRandomHistories")},
		{name: "records are equal whatever their values", edits: []edit{
			{raw, "r.key.Trailer == s.key.Trailer && bytes.Equal(r.value, s.value)", "r.key.Trailer == s.key.Trailer && (true || bytes.Equal(nil, nil))"},
		}},
		{name: "records are equal whatever their numbers", edits: []edit{
			{raw, "r.key.Trailer == s.key.Trailer && bytes.Equal(r.value, s.value)", "r.sets() == s.sets() && bytes.Equal(r.value, s.value)"},
		}, test: inPebblekv("BackToValueBelowSharedTable")},
		{name: "a merge decides", edits: []edit{
			{raw, "return !r.outside && (r.sets() || r.deletes())", "return !r.outside"},
		}},
		{name: "a value elsewhere decides", edits: []edit{
			{raw, "return !r.outside && (r.sets() || r.deletes())", "return r.sets() || r.deletes()"},
		}, test: inPebblekv("FewSeparateValues")},
		{name: "nothing is newer than what differs", edits: []edit{
			{candidates, "> c.top.at(c.key)", "> none"},
		}, test: inPebblekv("MovedBelowSharedTable")},
		{name: "tables hide the log", edits: []edit{
			{candidates, "if fromLog {", "if fromLog && is == was {"},
		}},
		{name: "any base will do", edits: []edit{
			{changes, "	side, err := readSidecar(s.fs, path, name, lineage)\n", `	side, err := readSidecar(s.fs, path, name, lineage)
	names, _ := s.fs.List(s.snapDir)
	for i := 0; i < len(names) && err != nil; i++ {
		if name = names[i]; s.open[name] == nil {
			path = s.fs.PathJoin(s.snapDir, name)
			side, err = readSidecar(s.fs, path, name, lineage)
		}
	}
`},
			{changes, "case base == nil, base.sidecar.Timestamp != since:", "case base == nil:"},
		}},
		{name: "ingests are not counted", edits: []edit{
			{moment, "now.ingests == before.ingests", "now.ingests >= before.ingests"},
		}, test: inPebblekv("SnapshotDuringCompactedIngests")},
	}
}

// inPebblekv is a test of that package.
func inPebblekv(test string) []string { return []string{"./export/pebblekv", "^Test" + test + "$"} }

// tableMutants break how whole tables are chosen, read and copied, and what is written
// over them.
func tableMutants() []mutant {
	return slices.Concat(choiceMutants(), readingMutants(), copyMutants())
}

func choiceMutants() []mutant {
	const (
		bottom = "export/pebblekv/bottom.go"
		whole  = "export/pebblekv/wholetable.go"
	)
	return []mutant{
		{name: "virtual tables are copied", edits: []edit{
			{bottom, "return !t.Virtual && t.BackingType", "return t.BackingType"},
		}, test: inPebblekv("TablesExcised")},
		{name: "tables whose values are elsewhere are copied", edits: []edit{
			{bottom, "len(t.blobs) == 0 &&", "len(t.blobs) >= 0 &&"},
			{whole, "p.NumValuesInBlobFiles == 0 &&", ""},
		}, test: inPebblekv("TablesWithValuesElsewhere")},
		{name: "tables with ranges are copied", edits: []edit{
			{whole, "return len(covered) == 0 &&", "return len(covered) >= 0 &&"},
		}, test: inPebblekv("UnsoundTable")},
		{name: "tables that begin before their span are copied", edits: []edit{
			{bottom, "return own, span.Contains(c.store.order, own.Start) &&", "return own,"},
		}, test: inPebblekv("TablesReachingOut")},
		{name: "tables that end after their span are copied", edits: []edit{
			{bottom, "&& own.Contains(c.store.order, t.Largest.UserKey)", ""},
		}, test: inPebblekv("TablesReachingOut")},
		{name: "tables that share a prefix with the next are copied", edits: []edit{
			{bottom, "if cmp(c.prefix(t.Largest.UserKey), next) >= 0 {", "if cmp(c.prefix(t.Largest.UserKey), next) > 0 {"},
		}, test: inPebblekv("TablesThatShareAPrefix")},
		{name: "tables are copied whatever lies over them", edits: []edit{
			{bottom, "2*over[i] > size", "over[i] < 0"},
		}, test: inPebblekv("TablesUnderNewer")},
		{name: "tables are copied where frames would be smaller", edits: []edit{
			{"tables.go", "t.Bytes >= t.LogicalBytes/8*7", "t.Bytes >= 0"},
		}, test: []string{".", "^TestWorthCopying$"}},
	}
}

func readingMutants() []mutant {
	const whole = "export/pebblekv/wholetable.go"
	return []mutant{
		{name: "a record with a sequence number is copied", edits: []edit{
			{whole, "case k.SeqNum() != 0:", "case k.SeqNum() != k.SeqNum():"},
		}, test: inPebblekv("UnsoundTable")},
		{name: "a record of any kind is copied", edits: []edit{
			{whole, "case k.Kind() != pebble.InternalKeyKindSet:", "case k.Kind() != k.Kind():"},
		}, test: inPebblekv("UnsoundWhateverPropertiesSay")},
		{name: "tombstones are copied", edits: []edit{
			{whole, "case k.Kind() != pebble.InternalKeyKindSet:", "case k.Kind() == pebble.InternalKeyKindMerge:"},
		}, test: inPebblekv("UnsoundWhateverPropertiesSay")},
		{name: "a record that readers pass over is copied", edits: []edit{
			{whole, "HideObsoletePoints: true", "HideObsoletePoints: false"},
		}, test: inPebblekv("UnsoundTable")},
		{name: "a key that comes again is copied", edits: []edit{
			{whole, "c.cmp(c.last, k.UserKey) >= 0:", "c.cmp(c.last, k.UserKey) > 0:"},
		}, test: inPebblekv("KeyComesAgain")},
		{name: "a record may be missing", edits: []edit{
			{whole, "case c.count != known:", "case c.count > known:"},
		}, test: inPebblekv("TableOfOtherSize")},
		{name: "keys before the span are copied", edits: []edit{
			{whole, "case c.count == 0 && !", "case c.count < 0 && !"},
		}, test: inPebblekv("TableOutsideOfItsSpan")},
		{name: "keys after the span are copied", edits: []edit{
			{whole, "case c.count > 0 && !", "case c.count < 0 && !"},
		}, test: inPebblekv("TableOutsideOfItsSpan")},
	}
}

func copyMutants() []mutant {
	const (
		bottom = "export/pebblekv/bottom.go"
		tables = "tables.go"
	)
	return []mutant{
		{name: "what lies over the tables is left out", edits: []edit{
			{bottom, "d.after = append(d.after, t)", "_ = t"},
		}},
		{name: "the log over the tables is left out", edits: []edit{
			{bottom, "d.survey(ctx, c)", "d.survey(ctx)"},
		}, test: inPebblekv("TablesUnderLog")},
		{name: "tables that were not copied are left out", edits: []edit{
			{bottom, "if !copied[t] {", "if !copied[t] && t.level < bottomLevel {"},
		}},
		{name: "tables are taken in the order in which they are given", edits: []edit{
			{bottom, "	slices.SortFunc(under.tables, func", "	_ = append([]any{}, func"},
		}, test: []string{"./export/pebblekv", "^TestConformance$/^default_in_memory$/^Tables$"}},
		{name: "unsound tables are copied", vital: true, edits: []edit{
			{tables, "			continue\n		}\n		if err != nil {", "			err = nil\n		}\n		if err != nil {"},
		}, test: []string{".", "^TestTablesProveUnsound$"}},
		{name: "what lies over tables uncovers them", edits: []edit{
			{"stint.go", "if r.parent != nil || tier > 0 {", "if r.parent != nil {"},
		}, test: []string{".", "^TestSingleDeleteOverTables$"}},
		{name: "what was replaced in tables stays in the digest", edits: []edit{
			{tables, "count(part, e, changes.Former())", "count(part, e, nil)"},
		}, test: []string{".", "^TestFullOfTables$"}},
		{name: "a table that was changed is taken for the one that is stored", edits: []edit{
			{"synthesize.go", "if !same || r.bucket", "if !same && t == nil || r.bucket"},
		}, test: []string{".", "^TestSyntheticOfOtherBytes$"}},
	}
}

// layerMutants break how a layer is written on a chain, and how a chain is read.
func layerMutants() []mutant {
	return []mutant{
		{name: "sets uncover what is below", edits: []edit{
			{"sink/table.go", "case t.layers == Above:", "case t.layers == Above && t == nil:"},
		}},
		{name: "introduced spans show what is older", edits: []edit{
			{"content.go", "counts = subtractSpans(c.order, counts, m.Introduced)", "_ = m"},
		}},
		{name: "introduced spans show what is older, and delete nothing", edits: []edit{
			{"content.go", "counts = subtractSpans(c.order, counts, m.Introduced)", "_ = m"},
			{"entries.go", "if r.info.Revisions || len(span.End) == 0 {", "if true {"},
		}},
		{name: "what was replaced stays in the digest", edits: []edit{
			{"entries.go", "	if former != nil {\n", "	if former != nil && ledger == nil {\n"},
		}},
		{name: "segments are alike whatever their digests", edits: []edit{
			{"compare.go", "if seg.known && digest.Total(read) == seg.digest {", "if seg.known && len(read) >= 0 {"},
		}},
		{name: "segments that were cut have the digest of the whole", edits: []edit{
			{"segment.go", "known: len(outside) == 0", "known: len(outside) >= 0"},
		}},
		{name: "deletes are left out", edits: []edit{
			{"entries.go", "if e.Kind != export.Delete || r.info.Revisions || order.Compare(e.Key, gone) >= 0 {", "if e.Kind != export.Delete || r.info.Revisions {"},
		}},
	}
}
