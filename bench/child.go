package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// childFlag, as the only argument, makes the program measure one task, which it reads
// from its input, and write the sample to its output.
const childFlag = "-child"

// task is one operation of one tool. It has a process of its own, so that its memory is
// its alone.
type task struct {
	Tool, Operation string
	Dataset         dataset
	Folder          string // of the tool: its database, backups and what it restores
	Kept            string // a folder that is there in every turn
	Check           bool   // read what was restored
}

func (t task) database() string { return filepath.Join(t.Folder, "db") }
func (t task) backups() string  { return filepath.Join(t.Folder, "backups") }
func (t task) scratch() string  { return filepath.Join(t.Folder, "scratch") }
func (t task) restored() string { return filepath.Join(t.Folder, "restored") }

// measureApart runs the task in another process.
func (t task) measureApart(ctx context.Context) (s sample, err error) {
	fail := func(err error) (sample, error) {
		return s, fmt.Errorf("%s of %s, %s: %w", t.Operation, t.Dataset.name(), t.Tool, err)
	}
	self, err := os.Executable()
	if err != nil {
		return fail(err)
	}
	in, err := json.Marshal(t)
	if err != nil {
		return fail(err)
	}
	cmd := exec.CommandContext(ctx, self, childFlag)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return fail(err)
	}
	cmd.Stderr = os.Stderr
	go func() { stdin.Write(in); stdin.Close() }() //nolint:errcheck // the child says what it misses
	out, err := cmd.Output()
	if err != nil {
		return fail(err)
	}
	if err := json.Unmarshal(out, &s); err != nil {
		return fail(err)
	}
	return s, nil
}

// serveChild is the other process.
func serveChild(ctx context.Context, in io.Reader, out io.Writer) error {
	var t task
	if err := json.NewDecoder(in).Decode(&t); err != nil {
		return err
	}
	s, err := t.measure(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(s)
}

// measure makes everything ready, and measures the operation.
func (t task) measure(ctx context.Context) (s sample, err error) {
	tool, op, err := t.resolve()
	if err != nil {
		return s, err
	}
	j, err := t.ready(ctx, tool, op)
	if err != nil {
		return s, err
	}
	if j.db != nil {
		defer func() { err = errors.Join(err, j.db.Close()) }()
	}
	before, err := sizeOf(j.backups)
	if err != nil {
		return s, err
	}
	if err := syncAround(t.Folder); err != nil {
		return s, err
	}
	if j.meter, err = startMeter(); err != nil {
		return s, err
	}
	err = op.run(ctx, tool, j)
	s, meterErr := j.meter.stop()
	if errors.Is(err, errors.ErrUnsupported) {
		return sample{Unsupported: true}, nil
	}
	if err := errors.Join(err, meterErr); err != nil {
		return s, err
	}
	s.Requests, s.Synced = j.requests, j.synced
	after, err := sizeOf(j.backups)
	s.Stored = after - before
	return s, errors.Join(err, t.check(ctx, tool, op))
}

func (t task) resolve() (tool, operation, error) {
	tool := toolNamed(t.Tool)
	op, ok := operationNamed(t.Operation)
	if tool == nil || !ok {
		return nil, op, fmt.Errorf("no tool %q or operation %q", t.Tool, t.Operation)
	}
	return tool, op, nil
}

// ready opens and changes the database, clears what an earlier operation left, and
// reads what this one will.
func (t task) ready(ctx context.Context, tool tool, op operation) (*job, error) {
	j := &job{meter: new(meter), dir: t.database(), backups: t.backups(), scratch: t.scratch(), to: t.restored(), kept: t.Kept}
	if err := errors.Join(os.RemoveAll(j.scratch), os.RemoveAll(j.to), os.MkdirAll(j.backups, 0o755), os.MkdirAll(j.scratch, 0o755)); err != nil {
		return nil, err
	}
	if op.restores {
		return j, warm(j.backups)
	}
	var err error
	if j.db, err = tool.engine().open(ctx, t.Dataset, j.dir, op.settles); err != nil {
		return nil, err
	}
	err = t.change(ctx, j, op)
	if p, ok := tool.(preparer); ok && op.name == opFull {
		err = errors.Join(err, p.prepare(ctx, j))
	}
	if err = errors.Join(err, warm(j.dir)); err != nil {
		return nil, errors.Join(err, j.db.Close())
	}
	return j, nil
}

func (t task) change(ctx context.Context, j *job, op operation) error {
	if op.change == nil {
		return nil
	}
	if err := j.db.write(ctx, t.Dataset.changed(*op.change)); err != nil || !op.settles {
		return err
	}
	return j.db.settle(ctx)
}

// check compares what was restored with the data set.
func (t task) check(ctx context.Context, tool tool, op operation) error {
	if !t.Check || !op.restores {
		return nil
	}
	var got fingerprint
	if err := tool.engine().scan(ctx, t.restored(), got.add); err != nil {
		return fmt.Errorf("read what was restored: %w", err)
	}
	if want := fingerprintOf(t.Dataset.after(op.applied)); got != want {
		return fmt.Errorf("restored %v instead of %v", got, want)
	}
	return nil
}
