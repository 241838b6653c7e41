package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// bolts are bbolt databases, a file each, loaded in order.
type bolts struct{}

func (bolts) name() string   { return "bbolt" }
func (bolts) compacts() bool { return false }

// bucketName is that of the one bucket.
const bucketName = "rows"

func boltFile(dir string) string { return filepath.Join(dir, "rows.db") }

func openBolt(dir string) (*bbolt.DB, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return bbolt.Open(boltFile(dir), 0o644, &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, NoSync: true})
}

func (bolts) build(ctx context.Context, d dataset, dir string) (note string, err error) {
	db, err := openBolt(dir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := (boltDatabase{db}).write(ctx, d.sorted()); err != nil {
		return "", err
	}
	info, err := os.Stat(boltFile(dir))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("a file of %s, written in order", megabytes(info.Size())), db.Sync()
}

func (bolts) open(_ context.Context, _ dataset, dir string, _ bool) (database, error) {
	db, err := openBolt(dir)
	if err != nil {
		return nil, err
	}
	return boltDatabase{db}, nil
}

func (bolts) scan(_ context.Context, dir string, add func(key, value []byte)) (err error) {
	db, err := openBolt(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketName)).ForEach(func(key, value []byte) error { add(key, value); return nil })
	})
}

type boltDatabase struct{ *bbolt.DB }

// write puts rows in transactions of some megabytes.
func (b boltDatabase) write(ctx context.Context, rows iter.Seq2[[]byte, []byte]) error {
	const bytesEach = 8 << 20
	next, stop := iter.Pull2(rows)
	defer stop()
	for more := true; more && ctx.Err() == nil; {
		err := b.Update(func(tx *bbolt.Tx) error {
			bucket, err := tx.CreateBucketIfNotExists([]byte(bucketName))
			if err != nil {
				return err
			}
			bucket.FillPercent = 0.9 // for keys that ascend
			for written := 0; written < bytesEach; {
				key, value, ok := next()
				if more = ok; !ok {
					return nil
				}
				// The bucket keeps both until the transaction ends.
				key, value = append([]byte(nil), key...), append([]byte(nil), value...)
				if err := bucket.Put(key, value); err != nil {
					return err
				}
				written += len(key) + len(value)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (boltDatabase) settle(context.Context) error { return nil }

// bboltWriteTo is bbolt's own Tx.WriteTo. Each backup is whole.
type bboltWriteTo struct{}

func (bboltWriteTo) name() string   { return "bbolt" }
func (bboltWriteTo) engine() engine { return bolts{} }

func (bboltWriteTo) full(_ context.Context, j *job) error {
	j.synced = byBench
	return writeSynced(boltFile(j.backups), func(w io.Writer) error {
		return j.db.(boltDatabase).View(func(tx *bbolt.Tx) error {
			_, err := tx.WriteTo(w)
			return err
		})
	})
}

func (bboltWriteTo) incremental(context.Context, *job) error { return errors.ErrUnsupported }

func (bboltWriteTo) restore(_ context.Context, j *job) error {
	j.synced = byBench
	if err := os.MkdirAll(j.to, 0o755); err != nil {
		return err
	}
	return copySynced(boltFile(j.backups), boltFile(j.to), nil)
}
