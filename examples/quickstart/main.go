// Quickstart backs up a real Pebble database, proves the backup, restores it, and
// shows what happens to a damaged one. It needs no arguments and no network: its
// data is the source of the Go standard library on this machine.
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
	dir, err := os.MkdirTemp("", "varve-quickstart-")
	check(err)
	defer os.RemoveAll(dir)
	ctx := context.Background()

	step("1. A Pebble database with the Go standard library in it")
	db, store, err := pebblekv.Open(filepath.Join(dir, "db"), &pebble.Options{Logger: quiet{}}, nil)
	check(err)
	defer db.Close()
	keys, size := load(db)
	say("%d keys, %s", keys, mb(size))

	step("2. Back it up into a directory, while it stays open")
	backups := "file://" + filepath.Join(dir, "backups")
	layer, err := varve.Backup(ctx, varve.Cluster(store), backups, &varve.BackupOptions{
		Labels: map[string]string{"what": "go source"},
		Events: &varve.Events{Progress: progress},
	})
	check(err)
	s := layer.Stats
	say("%d keys, %s stored as %s (%.1f : 1) in %d files, %d requests, %s", s.Keys, mb(s.LogicalBytes), mb(s.StoredBytes),
		float64(s.LogicalBytes)/float64(s.StoredBytes), s.Files, s.Requests, speed(s.LogicalBytes, s.Duration))

	step("3. What the collection holds")
	c, err := varve.OpenCollection(ctx, backups, nil)
	check(err)
	defer c.Close()
	for l, err := range c.Layers(ctx) {
		check(err)
		say("%s  layer %s  as of %s", l.Path, l.ID[:8], l.End.Time().Format(time.RFC3339))
	}

	step("4. Verify it, without a database")
	report, err := c.Verify(ctx, varve.Latest, &varve.VerifyOptions{Level: varve.VerifyDigest})
	check(err)
	say("%d files and %d entries are as they were written: every hash, key order and digest (%s)",
		report.Files, report.Entries, speed(s.LogicalBytes, report.Duration))

	step("5. Restore it into a second database")
	restored, err := c.Restore(ctx, varve.Cluster(pebblekv.Dir(filepath.Join(dir, "restored"), nil)), &varve.RestoreOptions{Prove: true})
	check(err)
	say("%d keys, proved by %s (%s)", restored.Stats.Keys, restored.Proof, speed(restored.Stats.LogicalBytes, restored.Stats.Duration))

	step("6. Compare both databases, key by key")
	second, err := pebble.Open(filepath.Join(dir, "restored"), &pebble.Options{Logger: quiet{}})
	check(err)
	defer second.Close()
	say("equal: %d keys", compare(db, second))

	step("7. Flip one bit of one file of the backup")
	files, err := filepath.Glob(filepath.Join(dir, "backups", layer.Path, "data", "*.sst"))
	check(err)
	flip(files[0])
	_, err = c.Restore(ctx, varve.Cluster(pebblekv.Dir(filepath.Join(dir, "damaged"), nil)), nil)
	var corrupt *varve.CorruptError
	if !errors.As(err, &corrupt) {
		log.Fatalf("the damage was not noticed: %v", err)
	}
	say("restore refused: %v", corrupt)
	_, err = os.Stat(filepath.Join(dir, "damaged"))
	say("and left nothing behind: %t", errors.Is(err, fs.ErrNotExist))
}

// load puts every file of the standard library into db, path → content.
func load(db *pebble.DB) (keys int, size int64) {
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	check(err)
	root := filepath.Join(strings.TrimSpace(string(goroot)), "src")
	check(filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		check(err)
		keys, size = keys+1, size+int64(len(content))
		return db.Set([]byte(strings.TrimPrefix(path, root+"/")), content, pebble.NoSync)
	}))
	return keys, size
}

func compare(a, b *pebble.DB) (n int) {
	x, err := a.NewIter(nil)
	check(err)
	defer x.Close()
	y, err := b.NewIter(nil)
	check(err)
	defer y.Close()
	okX, okY := x.First(), y.First()
	for ; okX && okY && bytes.Equal(x.Key(), y.Key()) && bytes.Equal(x.Value(), y.Value()); n++ {
		okX, okY = x.Next(), y.Next()
	}
	if okX || okY || x.Error() != nil || y.Error() != nil {
		log.Fatalf("they differ after %d keys", n)
	}
	return n
}

func flip(file string) {
	b, err := os.ReadFile(file)
	check(err)
	b[len(b)/2] ^= 1
	check(os.WriteFile(file, b, 0o644))
}

func progress(p varve.ProgressInfo)  { say("%s %s of %s", p.Phase, mb(p.Done), mb(p.Total)) }
func step(title string)              { fmt.Printf("\n%s\n", title) }
func say(format string, args ...any) { fmt.Printf("   "+format+"\n", args...) }
func mb(n int64) string              { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

func speed(n int64, d time.Duration) string {
	return fmt.Sprintf("%s, %.0f MB/s", d.Round(time.Millisecond), float64(n)/1e6/d.Seconds())
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
