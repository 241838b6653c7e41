package integration

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
)

// rights are what operators.md gives a job that backs up and restores, and nothing more.
const rights = `{"Version": "2012-10-17", "Statement": [
	{"Effect": "Allow", "Principal": ["writer"], "Action": ["s3:ListBucket"], "Resource": "arn:aws:s3:::locked"},
	{"Effect": "Allow", "Principal": ["writer"], "Action": ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], "Resource": "arn:aws:s3:::locked/*"}
]}`

// startVersioned starts versitygw with versions of objects, and users besides the first one.
func startVersioned(s *servers) (string, error) {
	host, port, err := freePort()
	if err != nil {
		return "", err
	}
	dir, err := s.tempDir()
	if err != nil {
		return "", err
	}
	for _, sub := range []string{"buckets", "versions", "attributes", "users"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return "", err
		}
	}
	address := net.JoinHostPort(host, port)
	env := []string{"ROOT_ACCESS_KEY=" + s3User, "ROOT_SECRET_KEY=" + s3Secret}
	err = s.launch(address, env, "versitygw", "--port", address, "--quiet", "--iam-dir", filepath.Join(dir, "users"),
		"posix", "--sidecar", filepath.Join(dir, "attributes"), "--versioning-dir", filepath.Join(dir, "versions"), filepath.Join(dir, "buckets"))
	if err != nil {
		return "", err
	}
	program, err := s.program("versitygw")
	if err != nil {
		return "", err
	}
	out, err := exec.Command(program, "admin", "--access", s3User, "--secret", s3Secret, "--endpoint-url", "http://"+address,
		"create-user", "--access", "writer", "--secret", s3Secret, "--role", "user").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("create a user: %w: %s", err, out)
	}
	return address, nil
}

// locked is a bucket that keeps each version of each object for a day, whoever asks, as its
// owner and as a writer with few rights.
func locked(t *testing.T) (owner *s3.Client, writer bucket) {
	address := running.get(t, "versioned", startVersioned)
	as := func(user, place string) string {
		return "s3://" + place + "?" + url.Values{
			"AWS_ACCESS_KEY_ID": {user}, "AWS_SECRET_ACCESS_KEY": {s3Secret}, "AWS_ENDPOINT": {"http://" + address}, "AWS_USE_PATH_STYLE": {"true"},
		}.Encode()
	}
	b := rawAt(t, as(s3User, "locked/x"))
	require.True(t, b.As(&owner))
	name := aws.String("locked")
	_, err := owner.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: name, ObjectLockEnabledForBucket: aws.Bool(true)})
	require.NoError(t, err)
	_, err = owner.PutObjectLockConfiguration(t.Context(), &s3.PutObjectLockConfigurationInput{
		Bucket: name,
		ObjectLockConfiguration: &types.ObjectLockConfiguration{
			ObjectLockEnabled: types.ObjectLockEnabledEnabled,
			Rule:              &types.ObjectLockRule{DefaultRetention: &types.DefaultRetention{Mode: types.ObjectLockRetentionModeCompliance, Days: aws.Int32(1)}},
		},
	})
	require.NoError(t, err)
	_, err = owner.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: name, Policy: aws.String(rights)})
	require.NoError(t, err)
	return owner, at(as("writer", "locked/c"))
}

// TestLockedBucket: a bucket with object lock, and a writer without the right to delete, do
// for all but expiry, and expiry deletes nothing of it.
func TestLockedBucket(t *testing.T) {
	owner, b := locked(t)
	c := b.collection(t)
	report, err := c.Check(t.Context())
	require.NoError(t, err)
	require.NoError(t, report.Err())
	var access *varve.AccessError
	require.ErrorAs(t, report.Delete, &access)
	require.NotEmpty(t, report.Left)

	store := newStore(t, 20<<20) // in parts
	full(t, c, store, nil)
	change(store, 1)
	incremental(t, c, store)
	full(t, c, store, nil)
	requireWhole(t, c, store)

	plan, err := c.PlanExpire(t.Context(), varve.Policy{KeepLast: 1, Force: true})
	require.NoError(t, err)
	expired, err := c.Expire(t.Context(), plan)
	require.NoError(t, err)
	require.Zero(t, expired.Objects)
	requireVersionsKept(t, owner)
	requireWhole(t, b.collection(t), store)
}

// requireVersionsKept wants one version of each object, which even its owner cannot delete.
func requireVersionsKept(t *testing.T, owner *s3.Client) {
	name := aws.String("locked")
	all, err := owner.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: name})
	require.NoError(t, err)
	require.Empty(t, all.DeleteMarkers)
	seen := map[string]bool{}
	for _, v := range all.Versions {
		require.False(t, seen[*v.Key], *v.Key)
		seen[*v.Key] = true
	}
	require.Greater(t, len(seen), 10)
	_, err = owner.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: name, Key: all.Versions[0].Key, VersionId: all.Versions[0].VersionId})
	require.ErrorContains(t, err, "AccessDenied")
}
