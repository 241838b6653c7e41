package varve_test

import "slices"

// retentionMutants break what keeps layers from being expired too early, or for ever.
func retentionMutants() []mutant {
	return slices.Concat(policyMutants(), needMutants(), sweepMutants(), sleeperMutants())
}

func inRoot(test string) []string { return []string{".", "^Test" + test + "$"} }

func policyMutants() []mutant {
	return []mutant{
		{name: "the newest verified point is dropped", vital: true, edits: []edit{
			{"policy.go", `keep(points[i], "newest verified")`, `_ = i`},
		}, test: inRoot("Policy")},
		{name: "a guarantee keeps one point", edits: []edit{
			{"policy.go", "at(points[0]).Sub(at(pt)) > p.Guarantee", "at(points[0]).Sub(at(pt)) >= 0"},
		}, test: inRoot("Policy")},
		{name: "a guarantee ends with its time", edits: []edit{
			{"policy.go", "			keep(pt, \"guarantee of \"+duration(p.Guarantee))\n			if at(points[0]).Sub(at(pt)) > p.Guarantee {\n				break\n			}\n",
				"			if at(points[0]).Sub(at(pt)) > p.Guarantee {\n				break\n			}\n			keep(pt, \"guarantee of \"+duration(p.Guarantee))\n"},
		}, test: inRoot("Policy")},
		{name: "layers are counted by their own clock alone", edits: []edit{
			{"policy.go", "	for clock := range by {\n		by[clock] = map[*point]string{}\n", "	by[1] = map[*point]string{}\n	for clock := range by[:1] {\n		by[clock] = map[*point]string{}\n"},
		}, test: inRoot("BackdatedLayers")},
		{name: "the bucket's clock is believed", edits: []edit{
			{"census.go", "	if c.ahead > 0 {\n", "	if c.ahead > 0 && client.IsZero() {\n"},
		}, test: inRoot("ClocksThatJump")},
		{name: "the client's clock is believed", edits: []edit{
			{"census.go", "	if c.ahead > 0 {\n", "	if !client.IsZero() {\n"},
		}, test: inRoot("ClocksThatJump")},
		{name: "sealed layers are of one kind", edits: []edit{
			{"expireplan.go", `m.Lineage + "/" + m.Sealing.Targets`, `m.Lineage`},
		}, test: inRoot("NamedTargetsAreCounted")},
		{name: "named targets are told by their spans", edits: []edit{
			{"expireplan.go", "if m.Targets.targets().named() {", "if m.Spans == nil {"},
		}, test: inRoot("NamedTargetsAreCounted")},
		{name: "labels that are not known are none", edits: []edit{
			{"policy.go", "pt.layer.manifest.locked != nil &&", "pt.layer.manifest == nil &&"},
		}, test: inRoot("SealedLabels")},
		{name: "the plan is carried out as it is", edits: []edit{
			{"expire.go", "		case pt.Keep:\n", "		case pt.Keep && pt.ID == \"\":\n"},
		}, test: inRoot("PlanIsCheckedAgain")},
		{name: "what was verified is restored by whatever way", edits: []edit{
			{"said.go", "(l.info.Full() || read[l.below])", "(l.info.Full() || l.below != nil)"},
		}, test: inRoot("Proved")},
		{name: "a look at sizes is a verification", edits: []edit{
			{"said.go", "r.level >= VerifyHash &&", "r.level >= VerifyExists &&"},
		}, test: inRoot("Proved")},
	}
}

func needMutants() []mutant {
	return []mutant{
		{name: "only what is needed at first hand is needed", edits: []edit{
			{"needs.go", "				queue = append(queue, d)\n", ""},
		}, test: inRoot("Expire")},
		{name: "files of other layers are not needed", edits: []edit{
			{"needs.go", "l.shares = append(l.shares, other)", "_ = other"},
		}, test: inRoot("SyntheticFullKeepsWhatItRefersTo")},
		{name: "a stand-in counts at once", edits: []edit{
			{"needs.go", "if id := l.manifest.StandsFor; id != \"\" && c.old(l.at) {", "if id := l.manifest.StandsFor; id != \"\" {"},
		}, test: inRoot("StandInsAreNeeded")},
		{name: "holds do not count", edits: []edit{
			{"said.go", `return strings.TrimSuffix("held: "+r.note, ": ")`, `return strings.TrimSuffix("", r.note)`},
		}, test: inRoot("Hold")},
		{name: "backups that go on need nothing", edits: []edit{
			{"said.go", `return "extended by a backup that goes on, at " + home.path`, `return home.path[:0]`},
		}, test: inRoot("SilentBackup")},
		{name: "who reads needs nothing", edits: []edit{
			{"said.go", `return "being read"`, `return ""`},
		}, test: inRoot("SilentReader")},
		{name: "what cannot be read needs nothing", edits: []edit{
			{"said.go", "case home != nil && home.state == siteOdd:", "case home != nil && home.state == siteOdd && home.path == \"\":"},
		}, test: inRoot("UnknownStays")},
		{name: "of two layers with one ID one is taken", edits: []edit{
			{"site.go", "if other := c.layers[m.Layer]; other != nil {", "if other := c.layers[m.Layer]; other != nil && other.site == nil {"},
		}, test: inRoot("TwinsStay")},
		{name: "a job that is paused is dead a day later", edits: []edit{
			{"jobsign.go", "return later(sign.ModTime, sign.until)", "return sign.ModTime"},
		}, test: inRoot("JobKeepsItsLayer")},
		{name: "a job needs nothing", edits: []edit{
			{"jobsign.go", "	if sign == nil {\n		return time.Time{}", "	if sign == nil || job != \"\" {\n		return time.Time{}"},
		}, test: inRoot("JobKeepsItsLayer")},
	}
}

func sweepMutants() []mutant {
	const stages = "{c.index[id], manifest, parts, claim, said, mark}"
	return []mutant{
		{name: "tables go before their manifest", vital: true, edits: []edit{
			{"sweep.go", stages, "{c.index[id], parts, manifest, claim, said, mark}"},
		}, test: inRoot("Expire")},
		{name: "the manifest goes before its index entry", edits: []edit{
			{"sweep.go", stages, "{manifest, c.index[id], parts, claim, said, mark}"},
		}, test: inRoot("Expire")},
		{name: "the claim goes before the tables", edits: []edit{
			{"sweep.go", stages, "{c.index[id], manifest, claim, parts, said, mark}"},
		}, test: inRoot("Expire")},
		{name: "the mark goes before the layer", edits: []edit{
			{"sweep.go", stages, "{mark, c.index[id], manifest, parts, claim, said}"},
		}, test: inRoot("Expire")},
		{name: "what is below goes first", edits: []edit{
			{"needs.go", "	slices.Reverse(out)\n	wanted", "	wanted"},
		}, test: inRoot("Expire")},
		{name: "what another layer still needs goes", edits: []edit{
			{"expire.go", "if users[l] > 0 {", "if users[l] < 0 {"},
		}, test: inRoot("DeniedDeletes")},
		{name: "a failure ends it", edits: []edit{
			{"expire.go", "			if e.gaveUp(ctx) {\n				return err\n			}\n			continue\n", "			return err\n"},
		}, test: inRoot("DeniedDeletes")},
		{name: "storage that is out of order is asked for everything", edits: []edit{
			{"sweep.go", "e.down >= maxDown }", "e.down < 0 }"},
		}, test: inRoot("NothingCanBeDeleted")},
		{name: "lists of objects are no part of a layer", edits: []edit{
			{"name.go", `"/" + fileListName, "/" + objectListName}`, `"/" + fileListName}`},
		}, test: inRoot("ExpireSealed")},
		{name: "added keys are no part of a layer", edits: []edit{
			{"name.go", "	if layerPath, _, err := parseKey(object); err == nil {\n", "	if layerPath, _, err := parseKey(object); err == nil && object == \"\" {\n"},
		}, test: inRoot("ExpireSealed")},
		{name: "foreign objects at a path go", edits: []edit{
			{"name.go", `return "", "", fmt.Errorf("object %q: not one of a layer", object)`, `return path.Dir(object), path.Base(object), nil`},
		}, test: inRoot("UnknownStays")},
	}
}

func sleeperMutants() []mutant {
	return []mutant{
		{name: "what is retired is deleted at once", vital: true, edits: []edit{
			{"expire.go", "			if !c.old(since) {\n", "			if since.IsZero() {\n"},
		}, test: inRoot("Expire")},
		{name: "listings are believed", edits: []edit{
			{"census.go", "		if written.IsZero() {\n", "		if written.IsZero() && newest.IsZero() {\n"},
		}, test: inRoot("ExpireStale")},
		{name: "a dead run is swept without a word", edits: []edit{
			{"expire.go", "err := e.b.create(ctx, manifestObject(path), kindVoid, voidRecord{Layer: p.layer, Job: e.job, CreatedAt: e.begun.UTC()})", "var err error"},
		}, test: inRoot("DeadRuns")},
		{name: "who was seen just now is dead", edits: []edit{
			{"expire.go", "if p.state != siteOpen || retired || !c.old(c.lastSeen(p.layer)) {", "if p.state != siteOpen || retired {"},
		}, test: inRoot("DeadRuns")},
		{name: "a silent backup says nothing", edits: []edit{
			{"backup.go", "	defer r.lives(ctx)()\n", ""},
		}, test: inRoot("SilentBackup")},
		{name: "a restore says nothing", edits: []edit{
			{"restore.go", "	r.reading = r.c.reads(context.WithoutCancel(ctx), r.bucket, r.chain)\n", ""},
		}, test: inRoot("SilentReader")},
		{name: "who reads what is held waits to say so", edits: []edit{
			{"reading.go", "err != nil || retired[chain.tip().ID] {", "err != nil || len(retired) < 0 {"},
		}, test: inRoot("ReaderOfWhatIsHeld")},
		{name: "a backup does not look again", edits: []edit{
			{"backup.go", "	if err := r.confirm(ctx); err != nil {\n		return nil, err\n	}\n", ""},
		}, test: inRoot("ParentGoneMeanwhile")},
		{name: "a hold does not look again", edits: []edit{
			{"hold.go", "		if err := b.checkThere(ctx, l); err != nil {\n			return errors", "		if err := b.checkUnmarked(ctx, l.ID); err != nil {\n			return errors"},
		}, test: inRoot("HoldOfWhatIsGone")},
		{name: "a manifest is written again after its time", edits: []edit{
			{"draft.go", "		if errors.Is(err, objectio.ErrNotExist) {\n			return fmt.Errorf(\"layer %s was expired", "		if errors.Is(err, objectio.ErrNotExist) && m.Layer != \"\" {\n			return nil\n		}\n		if errors.Is(err, objectio.ErrNotExist) {\n			return fmt.Errorf(\"layer %s was expired"},
		}, test: inRoot("Sleepers")},
	}
}
