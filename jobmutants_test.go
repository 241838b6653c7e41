package varve_test

// jobMutants break what of a job is written down, trusted and given back.
func jobMutants() []mutant {
	in := func(test string) []string { return []string{".", "^Test" + test + "$"} }
	death := in("DeathBeforeEachOperation")
	return []mutant{
		{name: "files are not trusted, and stored again", edits: []edit{
			{"resume.go", "	if len(r.parts) == 0 {", "	if len(r.parts) >= 0 {"},
		}, test: death},
		{name: "what is stored is exported again, and is there twice", edits: []edit{
			{"resume.go", "		rest = append(rest, t.without(r.info.Order, covered)...)", "		rest = append(rest, t)"},
		}, test: death},
		{name: "what is stored is forgotten", vital: true, edits: []edit{
			{"export.go", "	for _, p := range r.stock {\n		e.take(p)\n	}\n", ""},
		}, test: death},
		{name: "rows of what is stored are forgotten", edits: []edit{
			{"checkpoint.go", "out.rows = append(out.rows, digest.Row{Start: row.Start, Digest: row.digest()})", "_ = row"},
		}, test: death},
		{name: "changes that are stored do not count", edits: []edit{
			{"export.go", "		e.ledger.join(p.sums)", "		e.ledger.join(nil)"},
		}, test: death},
		{name: "a list that is there is not looked at", edits: []edit{
			{"resume.go", "	if r.journal.epoch == 0 {", "	if r.journal.epoch >= 0 {"},
		}, test: death},
		{name: "numbers of tasks are used again", edits: []edit{
			{"jobbackup.go", "	r.tasks.Store(int64(r.journal.epoch) * tasksPerEpoch)\n", ""},
		}, test: death},
		{name: "another moment will do", edits: []edit{
			{"jobbackup.go", "	if r.frozen.Timestamp() != r.layer.End {", "	if r.layer.End.IsZero() {"},
			{"jobbackup.go", "opts.Name, opts.Note = r.layer.ID, r.note()", "opts.Name, opts.Note = r.job, r.note()"},
		}, test: in("PausedMomentStays")},
		{name: "files that have gone are trusted", vital: true, edits: []edit{
			{"resume.go", "return folder == r.layer.Path && there && size == f.Size", "return folder == r.layer.Path && (there || size == 0)"},
		}, test: in("LostFilesAreStoredAgain")},
		{name: "files of another size are trusted", edits: []edit{
			{"resume.go", "return folder == r.layer.Path && there && size == f.Size", "return folder == r.layer.Path && there && size >= 0"},
		}, test: in("LostFilesAreStoredAgain")},
		{name: "two go on with one job", edits: []edit{
			{"journal.go", "	case errors.Is(err, objectio.ErrExist):\n		return j.lost()\n", "	case errors.Is(err, objectio.ErrExist):\n"},
			{"run.go", "		if peekErr == nil && !isVoid(head) {", "		if peekErr == nil && isVoid(head) {"},
		}, test: in("TwoResumers")},
		{name: "a record in doubt is forgotten", edits: []edit{
			{"journal.go", "		j.doubt = body\n", ""},
		}, test: in("RecordInDoubt")},
		{name: "who has lost gives back what the winner needs", edits: []edit{
			{"job.go", "	lost := errors.Is(err, errLost)\n", "	lost := errors.Is(err, errLost) && ctx == nil\n"},
		}, test: in("TwoResumers")},
		{name: "who cancels deletes before he says so", edits: []edit{
			{"undo.go", "	err := r.create(ctx, manifestObject(r.layer.Path), kindVoid,", "	err := r.create(ctx, claimObject(r.layer.Path)+\"0\", kindVoid,"},
		}, test: in("CancelOfAPausedJob")},
		{name: "a pause gives the snapshot back", edits: []edit{
			{"jobbackup.go", "	err := r.closeSnapshot()\n	kept,", "	err := errors.Join(r.closeSnapshot(), r.forget(ctx))\n	kept,"},
		}, test: in("PausedMomentStays")},
		{name: "a pause lasts for ever", edits: []edit{
			{"job.go", "	j.timer = time.AfterFunc(j.work.maxPause(), j.expire)", "	j.timer = time.AfterFunc(j.work.maxPause(), func() {})"},
		}, test: in("PausedForTooLong")},
		{name: "the snapshot of a job that waits is an orphan", edits: []edit{
			{"base.go", "		if r.c.jobWaits(ctx, r.bucket, jobOfNote(s.Note), r.begun) {", "		if r.c.jobWaits(ctx, r.bucket, \"\", r.begun) {"},
		}, test: in("PausedForTooLong")},
		{name: "records of jobs that wait are forgotten", edits: []edit{
			{"jobsign.go", "	return r.State.Ended() || r.Kind == BackupJob && over, nil", "	return r.State > 0 || over, nil"},
		}, test: in("OldJobsAreForgotten")},
		{name: "progress that is not written down is a failure", edits: []edit{
			{"checkpoint.go", "	case errors.Is(err, errLost):\n", "	case err != nil:\n"},
		}, test: in("CheckpointsMayFail")},
		{name: "nothing watches", edits: []edit{
			{"stall.go", "	if v.timer == nil || len(v.busy) == 0 || v.paused > 0 {", "	if v.timer == nil || len(v.busy) >= 0 {"},
		}, test: in("Stall")},
		{name: "failures are counted for ever", edits: []edit{
			{"retry.go", "	p.failed = 0\n", "	p.failed += 0\n"},
		}, test: in("StorageRecovers")},
	}
}
