package dirblob_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/drivertest"

	"github.com/varvekv/varve/internal/dirblob"
)

// refused are the cases of the portable suite that ask for what this store does
// not have; all others run.
var refused = []struct{ test, reason string }{
	{"/TestAttributes", "sets content type, encoding, language: no metadata is kept; see TestAttributes"},
	{"/TestWrite/ContentType_is_discovered_if_not_provided", "no metadata is kept"},
	{"/TestWrite/write_with_explicit_ContentType_overrides_discovery", "no metadata is kept"},
	{"/TestWrite/a_small_text_file_gets_a_ContentType", "no metadata is kept"},
	{"/TestWrite/a_large_jpg_file_gets_a_ContentType", "no metadata is kept"},
	{"/TestWrite/a_large_jpg_file_written_in_two_chunks_gets_a_ContentType", "no metadata is kept"},
	{"/TestMetadata/valid_metadata", "no metadata is kept"},
	{"/TestMetadata/valid_metadata_with_empty_body", "no metadata is kept"},
	{"/TestMetadata/valid_metadata_with_content_type", "no metadata is kept"},
	{"/TestMetadata/weird_metadata_keys", "no metadata is kept"},
	{"/TestListWeirdKeys", "writes the four keys below among others; see TestListUnusualKeys"},
	{"/TestKeys/repeatedfwdslashes", "key is not a plain path; see TestKeys"},
	{"/TestKeys/dotdotslash", "key is not a plain path; see TestKeys"},
	{"/TestKeys/ascii-1", "key holds a zero byte; see TestKeys"},
	{"/TestKeys/ascii-3", "key ends in a slash; see TestKeys"},
}

func skipRefused(t *testing.T) {
	for _, r := range refused {
		if strings.HasSuffix(t.Name(), r.test) {
			t.Skip(r.reason)
		}
	}
}

func TestConformance(t *testing.T) {
	for name, prefix := range map[string]string{"plain": "", "prefixed": "some/prefix/"} {
		t.Run(name, func(t *testing.T) {
			drivertest.RunConformanceTests(t, func(_ context.Context, t *testing.T) (drivertest.Harness, error) {
				skipRefused(t)
				return harness{t.TempDir(), prefix}, nil
			}, nil)
		})
	}
}

type harness struct{ dir, prefix string }

func (h harness) MakeDriver(context.Context) (driver.Bucket, error) {
	b, err := dirblob.OpenDriver(h.dir, nil)
	if err != nil || h.prefix == "" {
		return b, err
	}
	return driver.NewPrefixedBucket(b, h.prefix), nil
}

// A directory that does not exist is an empty bucket.
func (harness) MakeDriverForNonexistentBucket(context.Context) (driver.Bucket, error) {
	return nil, nil
}

func (harness) HTTPClient() *http.Client         { return nil }
func (harness) SupportsCopy() bool               { return true }
func (harness) SupportsNonSlashDelimiters() bool { return true }
func (harness) Close()                           {}
