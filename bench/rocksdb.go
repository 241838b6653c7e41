package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// rocks are RocksDB databases without compression, made and read by its program ldb.
type rocks struct{}

func (rocks) name() string   { return "rocksdb" }
func (rocks) compacts() bool { return true }

func ldb(ctx context.Context, dir string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ldb", append([]string{"--db=" + dir}, args...)...)
}

func (rocks) build(ctx context.Context, d dataset, dir string) (note string, err error) {
	levelBytes := strconv.FormatInt(min(max(d.Bytes/16, 256<<10), 64<<20), 10)
	err = load(ctx, dir, d.shuffled(), "--create_if_missing", "--write_buffer_size="+levelBytes, "--file_size="+levelBytes)
	if err != nil {
		return "", err
	}
	if d.Layout == compacted {
		if err := runQuiet(ldb(ctx, dir, "compact")); err != nil {
			return "", err
		}
	} else if err := (rocksDatabase{dir, true}).settle(ctx); err != nil {
		return "", err
	}
	return rockLevels(ctx, dir)
}

// rockLevels says how much of a database is where, as levelsOf does.
func rockLevels(ctx context.Context, dir string) (string, error) {
	size, files, err := tablesIn(dir)
	if err != nil {
		return "", err
	}
	out, err := ldb(ctx, dir, "get_property", "rocksdb.levelstats").Output()
	if err != nil {
		return "", err
	}
	var all, lowest float64
	for line := range strings.Lines(string(out)) {
		var level, tables int
		var mib float64
		if n, _ := fmt.Sscan(line, &level, &tables, &mib); n == 3 && mib > 0 { // else a heading
			all, lowest = all+mib, mib
		}
	}
	return fmt.Sprintf("%s in %d tables, %.0f %% of it above its lowest level", megabytes(size), files, 100*(all-lowest)/max(all, 1)), nil
}

// load writes rows through a pipe. Without a log ldb flushes them when it ends.
func load(ctx context.Context, dir string, rows iter.Seq2[[]byte, []byte], options ...string) error {
	cmd := ldb(ctx, dir, append([]string{"load", "--hex", "--disable_wal", "--compression_type=no"}, options...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return err
	}
	written := writeHex(in, rows)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("ldb load: %w: %s", err, lastLine(out.Bytes()))
	}
	return written
}

// writeHex writes rows in the form that ldb loads, and closes w.
func writeHex(w io.WriteCloser, rows iter.Seq2[[]byte, []byte]) error {
	buffered := bufio.NewWriterSize(w, 1<<20)
	var line []byte
	for key, value := range rows {
		line = hex.AppendEncode(append(line[:0], "0x"...), key)
		line = hex.AppendEncode(append(line, " ==> 0x"...), value)
		if _, err := buffered.Write(append(line, '\n')); err != nil {
			return errors.Join(err, w.Close())
		}
	}
	return errors.Join(buffered.Flush(), w.Close())
}

// settle holds the database open until its tables have not changed for a while. The
// prompt does so, and ends with its input.
func (r rocksDatabase) settle(ctx context.Context) error {
	if !r.compacts {
		return nil
	}
	cmd := ldb(ctx, r.dir, "query")
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	const pause, quietPauses = 50 * time.Millisecond, 12
	var last int64
	for quiet := 0; quiet < quietPauses && ctx.Err() == nil; quiet++ {
		size, _, err := tablesIn(r.dir)
		if err != nil {
			return errors.Join(err, in.Close(), cmd.Wait())
		}
		if size != last {
			last, quiet = size, 0
		}
		time.Sleep(pause)
	}
	return errors.Join(in.Close(), cmd.Wait(), ctx.Err())
}

// tablesIn are the bytes and the number of tables of a database.
func tablesIn(dir string) (size, files int64, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // compacted away meanwhile
		}
		if err != nil || filepath.Ext(path) != ".sst" {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			size, files = size+info.Size(), files+1
		}
		return err
	})
	return size, files, err
}

func (rocks) open(_ context.Context, _ dataset, dir string, compacts bool) (database, error) {
	return rocksDatabase{dir, compacts}, nil
}

func (rocks) scan(ctx context.Context, dir string, add func(key, value []byte)) error {
	cmd := ldb(ctx, dir, "scan", "--hex")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	parsed := readHex(out, add)
	return errors.Join(parsed, cmd.Wait())
}

// readHex reads what ldb prints of rows.
func readHex(r io.Reader, add func(key, value []byte)) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		left, right, ok := strings.Cut(lines.Text(), " : ")
		if left, right, ok = cutHex(left, right, ok); !ok {
			return fmt.Errorf("ldb scan: %q is no row", lines.Text())
		}
		key, keyErr := hex.DecodeString(left)
		value, valueErr := hex.DecodeString(right)
		if err := errors.Join(keyErr, valueErr); err != nil {
			return fmt.Errorf("ldb scan: %w", err)
		}
		add(key, value)
	}
	return lines.Err()
}

func cutHex(key, value string, ok bool) (_, _ string, _ bool) {
	key, keyOK := strings.CutPrefix(key, "0x")
	value, valueOK := strings.CutPrefix(value, "0x")
	return key, value, ok && keyOK && valueOK
}

// rocksDatabase is the directory of one: each ldb opens it for itself.
type rocksDatabase struct {
	dir      string
	compacts bool
}

func (r rocksDatabase) write(ctx context.Context, rows iter.Seq2[[]byte, []byte]) error {
	return load(ctx, r.dir, rows, fmt.Sprintf("--auto_compaction=%t", r.compacts))
}

func (rocksDatabase) Close() error { return nil }

// backupEngine is RocksDB's own BackupEngine, through ldb. It syncs what it writes, also in a restore.
type backupEngine struct {
	threads int
}

// rocksdbs are the engine with its default of one thread, and with one for each core.
func rocksdbs(cores int) []tool {
	if cores == 1 {
		return []tool{backupEngine{threads: 1}}
	}
	return []tool{backupEngine{threads: 1}, backupEngine{threads: cores}}
}

const rocksdbDefault = "rocksdb"

func (b backupEngine) name() string {
	if b.threads > 1 {
		return fmt.Sprintf("%s, %d threads", rocksdbDefault, b.threads)
	}
	return rocksdbDefault
}

func (backupEngine) engine() engine          { return rocks{} }
func (backupEngine) needs() (string, string) { return "ldb", "rocksdb-tools" }

func (b backupEngine) full(ctx context.Context, j *job) error { return b.incremental(ctx, j) }

func (b backupEngine) incremental(ctx context.Context, j *job) error {
	return j.meter.run(ldb(ctx, j.dir, "backup", "--auto_compaction=false", "--backup_dir="+j.backups, b.flag()))
}

func (b backupEngine) restore(ctx context.Context, j *job) error {
	if err := os.MkdirAll(j.to, 0o755); err != nil {
		return err
	}
	return j.meter.run(ldb(ctx, j.to, "restore", "--backup_dir="+j.backups, b.flag()))
}

func (b backupEngine) flag() string { return fmt.Sprintf("--num_threads=%d", b.threads) }
