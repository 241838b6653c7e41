// Quickstart backs up a real Pebble database, changes some of it, backs up what
// changed, restores the state before and after, and shows what happens to a damaged
// backup. It needs no arguments and no network: its data is the source of the Go
// standard library on this machine.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/pebblekv"
)

func main() {
	log.SetFlags(0)
	dir := must(os.MkdirTemp("", "varve-quickstart-"))
	defer os.RemoveAll(dir)
	ctx := context.Background()

	step("1. A Pebble database with the Go standard library in it")
	db := must(pebble.Open(filepath.Join(dir, "db"), &pebble.Options{Logger: quiet{}}))
	defer db.Close()
	store := must(pebblekv.New(db, filepath.Join(dir, "db"), nil))
	load(db)

	step("2. Back it up into a directory, while it stays open")
	c := must(varve.OpenCollection(ctx, "file://"+filepath.Join(dir, "backups"), nil))
	defer c.Close()
	full := must(c.Backup(ctx, varve.Cluster(store), nil))
	describe(full)

	step("3. Change some files, delete others, and back up what changed")
	before := db.NewSnapshot()
	defer before.Close()
	change(db)
	describe(must(c.Backup(ctx, varve.Cluster(store), &varve.BackupOptions{Into: varve.Latest})))

	step("4. What the collection holds, newest first")
	for l, err := range c.Layers(ctx) {
		check(err)
		say("as of %s  full: %-5t  %s", l.End.Time().Format("15:04:05.00"), l.Full(), l.Path)
	}

	step("5. Verify the chain, without a database")
	report := must(c.Verify(ctx, varve.Latest, &varve.VerifyOptions{Level: varve.VerifyDigest}))
	say("%d layers, %d files, %d entries are as they were written: every hash, key order and digest (%s)",
		len(report.Chain), report.Files, report.Entries, speed(report.StoredBytes, report.Duration))

	step("6. Restore the state before and after the change, and compare key by key")
	restore(ctx, c, full.Path, filepath.Join(dir, "before"), before)
	restore(ctx, c, varve.Latest, filepath.Join(dir, "after"), db)

	step("7. Flip one bit of one file of the full backup, which both need")
	file := must(filepath.Glob(filepath.Join(dir, "backups", full.Path, "data", "*.sst")))[0]
	stored := must(os.ReadFile(file))
	stored[len(stored)/2] ^= 1
	check(os.WriteFile(file, stored, 0o644))
	_, err := c.Restore(ctx, varve.Cluster(pebblekv.Dir(filepath.Join(dir, "damaged"), nil)), nil)
	corrupt, ok := errors.AsType[*varve.CorruptError](err)
	if !ok {
		log.Fatalf("the damage was not noticed: %v", err)
	}
	say("restore refused: %v", corrupt)
	_, err = os.Stat(filepath.Join(dir, "damaged"))
	say("and left nothing behind: %t", errors.Is(err, fs.ErrNotExist))
}

// load puts every file of the standard library into db, path → content.
func load(db *pebble.DB) {
	goroot := must(exec.Command("go", "env", "GOROOT").Output())
	root, keys, size := filepath.Join(strings.TrimSpace(string(goroot)), "src"), 0, int64(0)
	check(filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content := must(os.ReadFile(path))
		keys, size = keys+1, size+int64(len(content))
		return db.Set([]byte(path[len(root)+1:]), content, pebble.NoSync)
	}))
	say("%d files, %s", keys, mb(size))
}

// change adds a line to all files of one folder, and deletes those of another.
func change(db *pebble.DB) {
	it := must(db.NewIter(&pebble.IterOptions{LowerBound: []byte("encoding/"), UpperBound: []byte("encoding0")}))
	for it.First(); it.Valid(); it.Next() {
		check(db.Set(it.Key(), append(bytes.Clone(it.Value()), "// Changed.\n"...), pebble.NoSync))
	}
	check(errors.Join(it.Error(), it.Close(), db.DeleteRange([]byte("archive/"), []byte("archive0"), pebble.Sync)))
}

func describe(l *varve.Layer) {
	say("%d sets, %d deletions (of keys and ranges), %s stored as %s; changes: %s; %d files, %d requests, %s", l.Stats.Keys, l.Stats.Deletions,
		mb(l.Stats.LogicalBytes), mb(l.Stats.StoredBytes), l.Stats.Changes, l.Stats.Files, l.Stats.Requests, l.Stats.Duration.Round(time.Millisecond))
}

// restore puts a layer's state into a new database, which must hold what want does.
func restore(ctx context.Context, c *varve.Collection, from, dir string, want pebble.Reader) {
	r := must(c.Restore(ctx, varve.Cluster(pebblekv.Dir(dir, nil)), &varve.RestoreOptions{From: from, Prove: true}))
	db := must(pebble.Open(dir, &pebble.Options{Logger: quiet{}}))
	defer db.Close()
	x := must(want.NewIter(nil))
	defer x.Close()
	y := must(db.NewIter(nil))
	defer y.Close()
	n, okX, okY := 0, x.First(), y.First()
	for ; okX && okY && bytes.Equal(x.Key(), y.Key()) && bytes.Equal(x.Value(), y.Value()); n++ {
		okX, okY = x.Next(), y.Next()
	}
	if okX || okY || x.Error() != nil || y.Error() != nil {
		log.Fatalf("they differ after %d keys", n)
	}
	say("%s: %d keys, proved by %s, and equal (%s)", filepath.Base(dir), n, r.Proof, speed(r.Stats.LogicalBytes, r.Stats.Duration))
}

func step(title string)              { fmt.Printf("\n%s\n", title) }
func say(format string, args ...any) { fmt.Printf("   "+format+"\n", args...) }
func mb(n int64) string              { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
func speed(n int64, d time.Duration) string {
	return fmt.Sprintf("%s, %.0f MB/s", d.Round(time.Millisecond), float64(n)/1e6/d.Seconds())
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// quiet keeps Pebble's own log out of the story.
type quiet struct{ pebble.Logger }

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
