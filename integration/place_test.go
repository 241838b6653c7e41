package integration

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/varvekv/varve"
	_ "github.com/varvekv/varve/clouds"
	"github.com/varvekv/varve/internal/dirblob"
)

// place is where a collection can be.
type place struct {
	name  string
	start func(*servers) (address string, err error)     // nil: there is no server
	at    func(t *testing.T, address, dir string) string // the URL of a collection in a folder of the bucket
	alone bool                                           // tests of it set an environment variable, and so run one at a time
	// fileBytes keeps files below what is sent at once to a server that, when a part of an
	// object comes again because its reply was lost, appends it. 0: as large as they come.
	fileBytes int64
}

// azuriteKey is the one that Azurite publishes for everybody.
const azuriteKey = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

// clouds are the places behind a network.
func clouds() []place {
	return []place{
		{"s3", startS3, func(_ *testing.T, address, dir string) string {
			return "s3://bkt/" + dir + "?" + url.Values{
				"AWS_ACCESS_KEY_ID": {s3User}, "AWS_SECRET_ACCESS_KEY": {s3Secret}, "AWS_ENDPOINT": {"http://" + address}, "AWS_USE_PATH_STYLE": {"true"},
			}.Encode()
		}, false, 0},
		{"gs", startGS, func(t *testing.T, address, dir string) string {
			t.Setenv("STORAGE_EMULATOR_HOST", address)
			return "gs://bkt/" + dir
		}, true, 6 << 20},
		{"azure", startAzure, func(_ *testing.T, address, dir string) string {
			return "azure://bkt/" + dir + "?" + url.Values{
				"AZURE_ACCOUNT_NAME": {"devstoreaccount1"}, "AZURE_ACCOUNT_KEY": {azuriteKey}, "domain": {address}, "protocol": {"http"}, "localemu": {"true"},
			}.Encode()
		}, false, 0},
	}
}

func createContainer(address string) error {
	key, err := container.NewSharedKeyCredential("devstoreaccount1", azuriteKey)
	if err != nil {
		return err
	}
	client, err := container.NewClientWithSharedKeyCredential("http://"+address+"/devstoreaccount1/bkt", key, nil)
	if err != nil {
		return err
	}
	_, err = client.Create(context.Background(), nil)
	return err
}

// bucket is one place, to be opened as often as one likes, as several processes do.
type bucket struct {
	collection func(t *testing.T) *varve.Collection
	raw        func(t *testing.T) *blob.Bucket
}

// buckets are the empty ones that the suite runs over.
func buckets() map[string]func(t *testing.T) bucket {
	all := map[string]func(t *testing.T) bucket{"memory": memory, "directory": directory}
	for _, p := range clouds() {
		all[p.name] = func(t *testing.T) bucket {
			return at(p.at(t, running.get(t, p.name, p.start), folder(t)))
		}
	}
	return all
}

// folder is one of the test's own in a bucket that several use.
func folder(t *testing.T) string { return fmt.Sprintf("t%x", []byte(t.Name())) }

func memory(*testing.T) bucket {
	under := memblob.OpenBucket(nil)
	return bucket{
		collection: func(t *testing.T) *varve.Collection {
			c, err := varve.NewCollection(under, &varve.CollectionOptions{Prefix: "c"})
			require.NoError(t, err)
			return c
		},
		raw: func(*testing.T) *blob.Bucket { return under },
	}
}

func directory(t *testing.T) bucket { return at("file://" + t.TempDir()) }

// at is the bucket of a collection's URL.
func at(collectionURL string) bucket {
	return bucket{
		collection: func(t *testing.T) *varve.Collection {
			c, err := varve.OpenCollection(t.Context(), collectionURL, nil)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, c.Close()) })
			return c
		},
		raw: func(t *testing.T) *blob.Bucket { return rawAt(t, collectionURL) },
	}
}

// rawAt is the bucket below a collection, as varve opens it.
func rawAt(t *testing.T, collectionURL string) *blob.Bucket {
	u, err := url.Parse(collectionURL)
	require.NoError(t, err)
	var b *blob.Bucket
	if u.Scheme == "file" {
		b, err = dirblob.Open(u.Path, nil)
	} else {
		dir := strings.Trim(u.Path, "/") + "/"
		u.Scheme, u.Path = "varve+"+u.Scheme, ""
		b, err = blob.DefaultURLMux().OpenBucketURL(t.Context(), u)
		if err == nil {
			b = blob.PrefixedBucket(b, dir)
		}
	}
	require.NoError(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}
