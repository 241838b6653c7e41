package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strconv"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/ristretto/v2/z"
)

// badgers are Badger databases without compression, and so without a block cache.
type badgers struct{}

func (badgers) name() string   { return "badger" }
func (badgers) compacts() bool { return false }

func badgerOptions(dir string) badger.Options {
	return badger.DefaultOptions(dir).WithLogger(nil).WithMetricsEnabled(false).
		WithCompression(options.None).WithBlockCacheSize(0).WithValueLogFileSize(64 << 20)
}

// build streams rows in order, which puts them at the bottom.
func (badgers) build(_ context.Context, d dataset, dir string) (note string, err error) {
	db, err := badger.Open(badgerOptions(dir))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	stream := db.NewStreamWriter()
	if err := stream.Prepare(); err != nil {
		return "", err
	}
	if err := streamRows(stream, d.sorted()); err != nil {
		return "", err
	}
	if err := stream.Flush(); err != nil {
		return "", err
	}
	var size int64
	for _, t := range db.Tables() {
		size += int64(t.OnDiskSize)
	}
	return fmt.Sprintf("%s in %d tables, streamed in order", megabytes(size), len(db.Tables())), nil
}

func streamRows(stream *badger.StreamWriter, rows iter.Seq2[[]byte, []byte]) (err error) {
	const bufferBytes = 16 << 20
	buffer := z.NewBuffer(bufferBytes, "rows")
	defer func() { err = errors.Join(err, buffer.Release()) }()
	for key, value := range rows {
		badger.KVToBuffer(&pb.KV{Key: key, Value: value, Version: 1}, buffer)
		if buffer.LenNoPadding() < bufferBytes*3/4 {
			continue
		}
		if err := stream.Write(buffer); err != nil {
			return err
		}
		buffer.Reset()
	}
	return stream.Write(buffer)
}

func (badgers) open(_ context.Context, _ dataset, dir string, compacts bool) (database, error) {
	o := badgerOptions(dir)
	if !compacts {
		o = o.WithNumCompactors(0)
	}
	db, err := badger.Open(o)
	if err != nil {
		return nil, err
	}
	return badgerDatabase{db}, nil
}

func (badgers) scan(_ context.Context, dir string, add func(key, value []byte)) (err error) {
	db, err := badger.Open(badgerOptions(dir))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			item := it.Item()
			if err := item.Value(func(value []byte) error { add(item.Key(), value); return nil }); err != nil {
				return err
			}
		}
		return nil
	})
}

type badgerDatabase struct{ *badger.DB }

func (b badgerDatabase) write(_ context.Context, rows iter.Seq2[[]byte, []byte]) error {
	batch := b.NewWriteBatch()
	defer batch.Cancel()
	for key, value := range rows {
		if err := batch.Set(append([]byte(nil), key...), append([]byte(nil), value...)); err != nil {
			return err
		}
	}
	return batch.Flush()
}

// settle does nothing: Badger compacts little this soon, and a backup reads versions.
func (badgerDatabase) settle(context.Context) error { return nil }

// badgerBackup is Badger's own DB.Backup and DB.Load, one file for each backup.
type badgerBackup struct{}

func (badgerBackup) name() string   { return "badger" }
func (badgerBackup) engine() engine { return badgers{} }

func (b badgerBackup) full(_ context.Context, j *job) error { return b.backup(j, 0) }

func (b badgerBackup) incremental(_ context.Context, j *job) error {
	since, err := b.since(j)
	if err != nil {
		return err
	}
	return b.backup(j, since)
}

func (badgerBackup) backup(j *job, since uint64) error {
	files, err := badgerFiles(j)
	if err != nil {
		return err
	}
	var next uint64
	err = writeSynced(filepath.Join(j.backups, fmt.Sprintf("%03d.badger", len(files))), func(w io.Writer) (err error) {
		next, err = j.db.(badgerDatabase).Backup(w, since)
		return err
	})
	if err != nil {
		return err
	}
	j.synced = byBench
	return writeSynced(filepath.Join(j.backups, "since"), func(w io.Writer) error {
		_, err := fmt.Fprint(w, max(since, next)) // where nothing is new Badger returns 0, from which the next would be a full
		return err
	})
}

// since is what the last backup said the next is to start at.
func (badgerBackup) since(j *job) (uint64, error) {
	written, err := os.ReadFile(filepath.Join(j.backups, "since"))
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(string(written), 10, 64)
}

func badgerFiles(j *job) ([]string, error) {
	return filepath.Glob(filepath.Join(j.backups, "*.badger"))
}

func (badgerBackup) restore(_ context.Context, j *job) (err error) {
	files, err := badgerFiles(j)
	if err != nil {
		return err
	}
	db, err := badger.Open(badgerOptions(j.to))
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := loadBadger(db, f); err != nil {
			return errors.Join(err, db.Close())
		}
	}
	if err := db.Close(); err != nil {
		return err
	}
	j.synced = byBench
	return syncTree(j.to)
}

func loadBadger(db *badger.DB, path string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	const pendingWrites = 256 // what Badger's own program uses
	return db.Load(bufio.NewReaderSize(f, 1<<20), pendingWrites)
}
