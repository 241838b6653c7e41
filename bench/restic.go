package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
)

// restic is restic on a checkpoint of a Pebble database, into a local repository.
const resticDefault = "restic"

type restic struct {
	ignoreCtime bool
}

// restics are restic as it comes, and told that a file whose link count has changed
// has not: tables of a checkpoint are links, and to make one sets ctime, upon which
// restic reads all of the file again.
func restics() []tool { return []tool{restic{}, restic{ignoreCtime: true}} }

func (r restic) name() string {
	if r.ignoreCtime {
		return "restic --ignore-ctime"
	}
	return resticDefault
}

func (restic) engine() engine          { return pebbles{} }
func (restic) needs() (string, string) { return "restic", "restic" }

func (restic) command(ctx context.Context, j *job, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "restic", append([]string{"--quiet", "--no-cache", "--repo", j.backups}, args...)...)
	cmd.Env = append(os.Environ(), "RESTIC_PASSWORD=bench")
	return cmd
}

// prepare makes an empty repository. Restic takes seconds to choose how hard its key is to
// guess, so one that was made once is copied.
func (r restic) prepare(ctx context.Context, j *job) error {
	empty := filepath.Join(j.kept, "restic")
	if _, err := os.Stat(filepath.Join(empty, "config")); err == nil {
		return clone(empty, j.backups)
	}
	if err := runQuiet(r.command(ctx, j, "init")); err != nil {
		return err
	}
	return clone(j.backups, empty)
}

func (r restic) full(ctx context.Context, j *job) error { return r.incremental(ctx, j) }

// incremental backs up a checkpoint as the folder it is in, always the same one, so
// that restic compares it with the last.
func (r restic) incremental(ctx context.Context, j *job) error {
	checkpoint := filepath.Join(j.scratch, "checkpoint")
	if err := j.checkpoint(checkpoint); err != nil {
		return err
	}
	cmd := r.command(ctx, j, "backup", ".")
	if r.ignoreCtime {
		cmd = r.command(ctx, j, "backup", "--ignore-ctime", ".")
	}
	cmd.Dir = checkpoint
	return j.meter.run(cmd)
}

func (r restic) restore(ctx context.Context, j *job) error {
	if err := j.meter.run(r.command(ctx, j, "restore", "latest", "--target", j.to)); err != nil {
		return err
	}
	j.synced = byBench
	return syncTree(j.to)
}
