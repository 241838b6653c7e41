package clouds

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fsouza/fake-gcs-server/fakestorage"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
)

// Credentials as they look: with what must be escaped in a URL.
const (
	accessKey = "AKIAHUSHHUSH"
	secretKey = "hush/hush+hush/secret="
	session   = "hush//session+token=="
	blobKey   = "aHVzaC9odXNoK2h1c2g="
)

// secrets are those that must be nowhere, in each form.
func secrets() (all []string) {
	for _, secret := range []string{accessKey, secretKey, session, blobKey, hush} {
		all = append(all, secret, url.QueryEscape(secret), url.PathEscape(secret))
	}
	return all
}

// newS3 serves an empty bucket. See is shown every request.
func newS3(t *testing.T, see func(r *http.Request)) (collectionURL string) {
	backend := s3mem.New()
	require.NoError(t, backend.CreateBucket("bkt"))
	fake := gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		see(r)
		fake.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return s3URL(server.URL, "")
}

func s3URL(endpoint, more string) string {
	return "s3://bkt/a/path?" + url.Values{
		"AUTH": {"specified"}, "AWS_ACCESS_KEY_ID": {accessKey}, "AWS_SECRET_ACCESS_KEY": {secretKey}, "AWS_SESSION_TOKEN": {session},
		"AWS_REGION": {"eu-west-1"}, "AWS_ENDPOINT": {endpoint}, "AWS_USE_PATH_STYLE": {"true"},
	}.Encode() + more
}

// newGS serves an empty bucket to the emulator's clients.
func newGS(t *testing.T) (collectionURL string) {
	fake, err := fakestorage.NewServerWithOptions(fakestorage.Options{NoListener: true})
	require.NoError(t, err)
	t.Cleanup(fake.Stop)
	fake.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: "bkt"})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Host = "storage.googleapis.com" // else it does not know what a path means
		fake.HTTPHandler().ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Setenv("STORAGE_EMULATOR_HOST", strings.TrimPrefix(server.URL, "http://"))
	key, err := json.Marshal(map[string]string{"type": "authorized_user", "client_id": "c", "client_secret": hush, "refresh_token": secretKey})
	require.NoError(t, err)
	return "gs://bkt/a/path?CREDENTIALS=" + encoded(string(key))
}

// printed is what a test has printed and logged.
type printed struct {
	log  bytes.Buffer
	file *os.File
}

// listen catches what anybody prints until the test ends.
func listen(t *testing.T) *printed {
	file, err := os.Create(t.TempDir() + "/printed")
	require.NoError(t, err)
	stdout, stderr := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = file, file
	t.Cleanup(func() { os.Stdout, os.Stderr = stdout, stderr })
	return &printed{file: file}
}

func (p *printed) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(&p.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// requireHushed wants no credentials in what was printed, nor in the texts.
func (p *printed) requireHushed(t *testing.T, texts ...string) {
	t.Helper()
	body, err := os.ReadFile(p.file.Name())
	require.NoError(t, err)
	for _, text := range append(texts, string(body), p.log.String()) {
		for _, secret := range secrets() {
			require.NotContains(t, text, secret)
		}
	}
}

// said is an error in each way that it may be printed, with all that it wraps.
func said(err error) (texts []string) {
	for ; err != nil; err = errors.Unwrap(err) {
		texts = append(texts, err.Error(), fmt.Sprintf("%+v %#v", err, err))
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, err := range joined.Unwrap() {
				texts = append(texts, said(err)...)
			}
		}
	}
	return texts
}

// TestCollection: a chain in each cloud, from URLs alone, and no credentials in what is
// stored, logged, printed or returned.
func TestCollection(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) string{
		"s3": func(t *testing.T) string { return newS3(t, func(*http.Request) {}) },
		"gs": newGS,
	} {
		t.Run(name, func(t *testing.T) {
			clearEnvironment(t)
			at := start(t)
			heard := listen(t)
			store := newStore(t)
			for i := range 1000 {
				store.Set(fmt.Appendf(nil, "key-%04d", i), bytes.Repeat([]byte{byte(i)}, 100))
			}
			opts := &varve.CollectionOptions{Logger: heard.logger()}
			full, err := varve.Backup(t.Context(), varve.Cluster(store), at, &varve.BackupOptions{Collection: opts})
			require.NoError(t, err)
			store.Set([]byte("key-0007"), []byte("changed"))
			last, err := varve.Backup(t.Context(), varve.Cluster(store), at, &varve.BackupOptions{Into: varve.Latest, Collection: opts})
			require.NoError(t, err)
			require.Equal(t, full.ID, last.ParentID)

			restored := newStore(t)
			_, err = varve.Restore(t.Context(), varve.Cluster(restored), at, &varve.RestoreOptions{Collection: opts})
			require.NoError(t, err)
			require.Equal(t, entries(t, store), entries(t, restored))

			c, err := varve.OpenCollection(t.Context(), at, opts)
			require.NoError(t, err)
			defer c.Close()
			report, err := c.Verify(t.Context(), "", nil)
			require.NoError(t, err)
			require.Empty(t, report.Problems)
			heard.requireHushed(t, append(objects(t, at), fmt.Sprintf("%+v %+v", full, last.Manifest))...)
		})
	}
}

func newStore(t *testing.T) *memkv.Store {
	store, err := memkv.New(nil)
	require.NoError(t, err)
	return store
}

// entries are those of a store.
func entries(t *testing.T, store *memkv.Store) (all []string) {
	for _, e := range store.State(export.Span{}) {
		all = append(all, string(e.Key)+"="+string(e.Value))
	}
	require.NotEmpty(t, all)
	return all
}

// objects are the names and bodies of all that is stored, each below the path of the
// collection.
func objects(t *testing.T, at string) (all []string) {
	u, err := url.Parse(at)
	require.NoError(t, err)
	u.Scheme, u.Path = "varve+"+u.Scheme, ""
	bucket, err := blob.DefaultURLMux().OpenBucketURL(t.Context(), u)
	require.NoError(t, err)
	defer bucket.Close()
	objects := bucket.List(nil)
	list, end := objects.All(t.Context())
	for o := range list {
		require.True(t, strings.HasPrefix(o.Key, "a/path/"), o.Key)
		body, err := bucket.ReadAll(t.Context(), o.Key)
		require.NoError(t, err)
		all = append(all, o.Key, string(body))
	}
	require.NoError(t, end())
	require.Greater(t, len(all), 10)
	return all
}

// TestRefused: storage that refuses is one that a right is missing on, at once, and the
// error has no credentials in it, though the service repeats what it was sent.
func TestRefused(t *testing.T) {
	for name, at := range map[string]func(server string) string{
		"s3": func(server string) string { return s3URL(server, "") },
		"azure": func(server string) string {
			return "azure://container/path?" + url.Values{
				"AZURE_ACCOUNT_NAME": {"account"}, "AZURE_ACCOUNT_KEY": {blobKey},
				"domain": {strings.TrimPrefix(server, "http://")}, "protocol": {"http"}, "localemu": {"true"},
			}.Encode()
		},
	} {
		for _, code := range []string{"AccessDenied", "SignatureDoesNotMatch", "InvalidAccessKeyId", "AuthenticationFailed", "AuthorizationPermissionMismatch"} {
			t.Run(name+"/"+code, func(t *testing.T) {
				clearEnvironment(t)
				heard := listen(t)
				requests := 0
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					requests++
					w.Header().Set("x-ms-error-code", code)
					w.WriteHeader(http.StatusForbidden)
					fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>%s</Code><Message>no</Message></Error>`, code)
				}))
				defer server.Close()
				_, err := varve.Backup(t.Context(), varve.Cluster(newStore(t)), at(server.URL),
					&varve.BackupOptions{Collection: &varve.CollectionOptions{Logger: heard.logger()}})
				var access *varve.AccessError
				require.ErrorAs(t, err, &access)
				require.Contains(t, err.Error(), code)
				require.Equal(t, 1, requests)
				heard.requireHushed(t, said(err)...)
			})
		}
	}
}

// TestUnreachable: an error of the network has no credentials in it.
func TestUnreachable(t *testing.T) {
	clearEnvironment(t)
	heard := listen(t)
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := varve.OpenCollection(ctx, s3URL(server.URL, ""), &varve.CollectionOptions{Logger: heard.logger()})
	require.Error(t, err)
	heard.requireHushed(t, said(err)...)
}
