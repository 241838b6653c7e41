package clouds

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
)

// heads are the headers of writes, and their order.
type heads struct {
	mu   sync.Mutex
	seen []http.Header
}

func (h *heads) see(r *http.Request) {
	if r.Method == http.MethodPut && r.URL.Query().Get("partNumber") == "" || r.URL.Query().Has("uploads") {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.seen = append(h.seen, r.Header.Clone())
	}
}

// openAt opens the bucket of a collection's URL, as varve does.
func openAt(t *testing.T, at string) *blob.Bucket {
	u, err := url.Parse(at)
	require.NoError(t, err)
	u.Path = ""
	b, err := opener(openS3).OpenBucketURL(t.Context(), u)
	require.NoError(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}

// TestS3Writes: a class and an encryption go with every new object, large or small.
func TestS3Writes(t *testing.T) {
	clearEnvironment(t)
	var h heads
	at := newS3(t, h.see) + "&S3_STORAGE_CLASS=standard_ia&AWS_SERVER_ENC_MODE=aws:kms&AWS_SERVER_KMS_ID=a-key"
	b := openAt(t, at)
	for n, size := range []int{10, 20 << 20} {
		err := b.Upload(t.Context(), fmt.Sprint(n), strings.NewReader(strings.Repeat("x", size)), &blob.WriterOptions{ContentType: "a/b"})
		require.NoError(t, err)
	}
	require.Len(t, h.seen, 2)
	for _, header := range h.seen {
		require.Equal(t, "STANDARD_IA", header.Get("x-amz-storage-class"))
		require.Equal(t, "aws:kms", header.Get("x-amz-server-side-encryption"))
		require.Equal(t, "a-key", header.Get("x-amz-server-side-encryption-aws-kms-key-id"))
		require.Contains(t, header.Get("Authorization"), "Credential="+accessKey+"/")
		require.Contains(t, header.Get("Authorization"), "/eu-west-1/s3/")
		require.Equal(t, session, header.Get("X-Amz-Security-Token"))
	}
}

// TestS3Roles: each role is assumed with the credentials of the one before.
func TestS3Roles(t *testing.T) {
	clearEnvironment(t)
	var h heads
	fake, err := url.Parse(newS3(t, h.see))
	require.NoError(t, err)
	upstream := fake.Query().Get("AWS_ENDPOINT")
	var asked []string
	server := newSTS(t, upstream, &asked)
	b := openAt(t, s3URL(server, "&ASSUME_ROLE="+url.QueryEscape("arn:aws:iam::1:role/first;external_id=x,arn:aws:iam::2:role/second")))
	require.NoError(t, b.Upload(t.Context(), "a", strings.NewReader("x"), &blob.WriterOptions{ContentType: "a/b"}))
	require.Equal(t, []string{accessKey + " arn:aws:iam::1:role/first x", "KEY1 arn:aws:iam::2:role/second "}, asked)
	require.Contains(t, h.seen[0].Get("Authorization"), "Credential=KEY2/")
}

// TestS3Retries are more, and their pauses shorter, than the client's own.
func TestS3Retries(t *testing.T) {
	clearEnvironment(t)
	place, err := parseS3(&url.URL{Host: "b", RawQuery: "AWS_REGION=x&rate_limiter_capacity=7"})
	require.NoError(t, err)
	config, err := place.load(t.Context())
	require.NoError(t, err)
	retryer := config.Retryer()
	require.Equal(t, attempts, retryer.MaxAttempts())
	for n := range attempts {
		rest, err := retryer.RetryDelay(n, http.ErrServerClosed)
		require.NoError(t, err)
		require.LessOrEqual(t, rest, maxBackoff+time.Millisecond)
	}
}
