package clouds

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"gocloud.dev/blob"
)

// init registers what opens each scheme under the name that varve prefers. The plain
// names belong to gocloud's drivers, which have registered them already.
func init() {
	mux := blob.DefaultURLMux()
	for scheme, open := range map[string]opener{
		"s3": openS3, "gs": openGS, "azblob": openAzure, "azure": openAzure, "azure-blob": openAzure,
	} {
		mux.RegisterBucket("varve+"+scheme, open)
	}
}

// opener opens a bucket by a URL without a path.
type opener func(ctx context.Context, u *url.URL) (*blob.Bucket, error)

// OpenBucketURL is what the mux of gocloud calls. What it returns outlives ctx, by
// whose values alone it is bound: clients refresh their tokens later, too.
func (o opener) OpenBucketURL(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return o(context.WithoutCancel(ctx), u)
}

// How often, and after which pauses, clients repeat a request. Their own settings give
// up within seconds, before a service that is restarted is back.
const (
	attempts   = 12
	maxBackoff = 3 * time.Second
)

// answerTimeout is how long an answer may take to begin once the request was sent; no
// client has a limit of its own. It leaves time to try again to varve's, of a minute.
const answerTimeout = 30 * time.Second

// transport is that of a client, with answerTimeout.
func transport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = answerTimeout
	return t
}
