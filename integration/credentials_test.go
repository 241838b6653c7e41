package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/memkv"
)

// secrets are the credentials of the servers, as they are and as a URL has them.
func secrets() (all []string) {
	for _, secret := range []string{s3Secret, azuriteKey} {
		all = append(all, secret, url.QueryEscape(secret), url.PathEscape(secret))
	}
	return all
}

// heard is all that somebody says while a test runs.
type heard struct {
	bytes.Buffer
	printed *os.File
}

func listen(t *testing.T) *heard {
	file, err := os.Create(t.TempDir() + "/printed")
	require.NoError(t, err)
	stdout, stderr, logged := os.Stdout, os.Stderr, log.Writer()
	os.Stdout, os.Stderr = file, file
	log.SetOutput(file)
	t.Cleanup(func() {
		os.Stdout, os.Stderr = stdout, stderr
		log.SetOutput(logged)
		file.Close()
	})
	return &heard{printed: file}
}

// say takes an error down in each way that it may be printed, with all that it wraps.
func (h *heard) say(err error) {
	fmt.Fprintf(h, "%v %+v %#v %q\n", err, err, err, err)
	if one := errors.Unwrap(err); one != nil {
		h.say(one)
	}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range several.Unwrap() {
			h.say(one)
		}
	}
}

// take takes down the names and bodies of all that a bucket holds.
func (h *heard) take(t *testing.T, b *blob.Bucket) {
	objects := b.List(nil)
	list, end := objects.All(t.Context())
	for o := range list {
		body, err := b.ReadAll(t.Context(), o.Key)
		require.NoError(t, err)
		fmt.Fprintf(h, "%s\n%s\n", o.Key, body)
	}
	require.NoError(t, end())
}

func (h *heard) requireNoSecret(t *testing.T) {
	_, err := h.printed.Seek(0, io.SeekStart)
	require.NoError(t, err)
	_, err = io.Copy(h, h.printed)
	require.NoError(t, err)
	require.Greater(t, h.Len(), 10_000)
	for _, secret := range secrets() {
		require.NotContains(t, h.String(), secret)
	}
}

// TestNoCredentials: a chain, a verification and a restore in a cloud that wants credentials,
// and then one with a key that is wrong, put none into what is stored, logged, printed or
// returned.
func TestNoCredentials(t *testing.T) {
	for _, p := range clouds() {
		if p.alone {
			continue // this server asks for none
		}
		t.Run(p.name, func(t *testing.T) {
			address := running.get(t, p.name, p.start)
			at := p.at(t, address, folder(t))
			h := listen(t)
			opts := &varve.CollectionOptions{Logger: slog.New(slog.NewTextHandler(h, &slog.HandlerOptions{Level: slog.LevelDebug}))}
			store := newStore(t, 1<<20)
			for _, into := range []string{"", varve.Latest} {
				layer, err := varve.Backup(t.Context(), varve.Cluster(store), at, &varve.BackupOptions{Into: into, Collection: opts})
				require.NoError(t, err)
				fmt.Fprintf(h, "%+v %+v\n", layer, layer.Manifest)
			}
			restored, err := memkv.New(nil)
			require.NoError(t, err)
			_, err = varve.Restore(t.Context(), varve.Cluster(restored), at, &varve.RestoreOptions{Collection: opts})
			require.NoError(t, err)
			require.Equal(t, state(store), state(restored))

			_, err = varve.Restore(t.Context(), varve.Cluster(restored), at, &varve.RestoreOptions{From: "1999/nothing", Collection: opts})
			require.ErrorIs(t, err, varve.ErrNoLayer)
			h.say(err)
			_, err = varve.Backup(t.Context(), varve.Cluster(store), wrongSecret(t, at), &varve.BackupOptions{Collection: opts})
			var access *varve.AccessError
			require.ErrorAs(t, err, &access)
			h.say(err)
			h.take(t, rawAt(t, at))
			h.requireNoSecret(t)
		})
	}
}

// wrongSecret is a URL whose last secret is of another's.
func wrongSecret(t *testing.T, at string) string {
	u, err := url.Parse(at)
	require.NoError(t, err)
	q := u.Query()
	for name := range q {
		if strings.HasSuffix(name, "_KEY") {
			secret := []byte(q.Get(name))
			secret[0], secret[1] = secret[1], secret[0]
			q.Set(name, string(secret))
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}
