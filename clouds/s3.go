package clouds

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
	gcaws "gocloud.dev/aws"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
)

// s3Place is what an s3 URL says.
type s3Place struct {
	bucket  string
	config  url.Values              // as gocloud reads them
	keys    aws.CredentialsProvider // nil: of the environment
	roles   []s3Role                // to assume, one by the other
	class   types.StorageClass      // "": the bucket's
	options s3blob.Options
	client  s3.Options // what of it the URL sets
}

func openS3(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	place, err := parseS3(u)
	if err != nil {
		return nil, err
	}
	config, err := place.load(ctx)
	if err != nil {
		return nil, err
	}
	place.options.RequestChecksumCalculation = config.RequestChecksumCalculation // the upload manager does not look at the client's
	return s3blob.OpenBucket(ctx, s3.NewFromConfig(config, place.set), place.bucket, &place.options)
}

func parseS3(u *url.URL) (*s3Place, error) {
	p, err := parseParams(u)
	if err != nil {
		return nil, err
	}
	s := &s3Place{bucket: u.Host}
	s.keys = s3Keys(p)
	s.roles = s3Roles(p)
	s.class = storageClass(p)
	encryption := only(p, types.ServerSideEncryptionAes256.Values(), "AWS_SERVER_ENC_MODE", "ssetype")
	s.options.EncryptionType = encryption
	s.options.KMSEncryptionID = p.take("AWS_SERVER_KMS_ID", "kmskeyid")
	if s.options.KMSEncryptionID != "" && !strings.HasPrefix(string(encryption), "aws:kms") {
		p.fail("parameter AWS_SERVER_KMS_ID needs AWS_SERVER_ENC_MODE to be aws:kms")
	}
	s.client.UseAccelerate = p.flag("accelerate")
	s.client.UsePathStyle = p.flag("AWS_USE_PATH_STYLE", "use_path_style", "s3ForcePathStyle")
	s.client.EndpointOptions.DisableHTTPS = p.flag("disable_https")
	s.config = s3Config(p)
	return s, p.done()
}

// s3Keys are those of the URL; nil: there are none.
func s3Keys(p *params) aws.CredentialsProvider {
	if !p.specified("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN") {
		return nil
	}
	p.all("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
	for _, other := range p.has("anonymous", "profile") {
		p.fail("parameter %s contradicts AWS_ACCESS_KEY_ID", other)
	}
	id, key, token := p.secret("AWS_ACCESS_KEY_ID"), p.secret("AWS_SECRET_ACCESS_KEY"), p.secret("AWS_SESSION_TOKEN")
	if token != "" && id == "" {
		p.fail("parameter AWS_ACCESS_KEY_ID is missing, for there is AWS_SESSION_TOKEN")
	}
	return credentials.NewStaticCredentialsProvider(id, key, token)
}

// s3Role is one role to assume.
type s3Role struct {
	arn        string
	externalID *string // nil: none
}

// s3Roles are "arn;external_id=id,arn", the last being the one that works.
func s3Roles(p *params) (roles []s3Role) {
	text := p.take("ASSUME_ROLE", "role")
	if text == "" {
		return nil
	}
	for one := range strings.SplitSeq(text, ",") {
		arn, id, external := strings.Cut(one, ";external_id=")
		if !strings.HasPrefix(arn, "arn:") || external && id == "" {
			p.fail("parameter ASSUME_ROLE is not arn:..., each with or without ;external_id=id, and commas between them")
			return nil
		}
		role := s3Role{arn: arn}
		if external {
			role.externalID = &id
		}
		roles = append(roles, role)
	}
	return roles
}

// s3Config is what of the parameters gocloud makes a configuration of, under its names.
func s3Config(p *params) url.Values {
	config := p.rest("anonymous", "dualstack", "fips", "hostname_immutable", "profile", "rate_limiter_capacity",
		"request_checksum_calculation", "response_checksum_validation")
	if endpoint := p.take("AWS_ENDPOINT", "endpoint"); endpoint != "" {
		if at, err := url.Parse(endpoint); err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" || at.User != nil {
			p.fail("parameter AWS_ENDPOINT is not https://host or http://host")
		}
		config.Set("endpoint", endpoint)
	}
	if region := p.take("AWS_REGION", "region"); region != "" {
		config.Set("region", region)
	}
	if p.flag("AWS_SKIP_CHECKSUM") {
		for _, name := range []string{"request_checksum_calculation", "response_checksum_validation"} {
			if config.Has(name) {
				p.fail("parameter %s contradicts AWS_SKIP_CHECKSUM", name)
			}
		}
		config.Set("request_checksum_calculation", "when_required")
		config.Set("response_checksum_validation", "when_required")
	}
	return config
}

// storageClass is that of new objects. What is archived cannot be read at once, as the
// next incremental and every restore must.
func storageClass(p *params) types.StorageClass {
	class := only(p, types.StorageClassStandard.Values(), "S3_STORAGE_CLASS")
	if class == types.StorageClassGlacier || class == types.StorageClassDeepArchive {
		p.fail("parameter S3_STORAGE_CLASS is one whose objects must be thawed to be read")
	}
	return class
}

// load makes the configuration of the client, with retries of our own.
func (s *s3Place) load(ctx context.Context) (aws.Config, error) {
	config, err := gcaws.V2ConfigFromURLParams(ctx, s.config)
	if err != nil {
		return config, err
	}
	if s.keys != nil {
		config.Credentials = aws.NewCredentialsCache(s.keys)
	}
	if config.Region == "" {
		if !s.config.Has("endpoint") {
			return config, bad("parameter AWS_REGION is missing, and nothing else says where the bucket is")
		}
		config.Region = "us-east-1" // what services that have no regions expect
	}
	retryer := config.Retryer
	config.Retryer = func() aws.Retryer {
		return retry.AddWithMaxAttempts(retry.AddWithMaxBackoffDelay(retryer(), maxBackoff), attempts)
	}
	config.Logger = logging.Nop{}
	if client, ok := config.HTTPClient.(*awshttp.BuildableClient); ok {
		config.HTTPClient = client.WithTransportOptions(func(t *http.Transport) { t.ResponseHeaderTimeout = answerTimeout })
	}
	for _, role := range s.roles {
		config.Credentials = aws.NewCredentialsCache(assume(config, role))
	}
	return config, nil
}

// assume are the credentials of a role.
func assume(config aws.Config, role s3Role) aws.CredentialsProvider {
	return stscreds.NewAssumeRoleProvider(sts.NewFromConfig(config), role.arn, func(o *stscreds.AssumeRoleOptions) {
		o.ExternalID = role.externalID
	})
}

// set makes of the client's options what the URL says.
func (s *s3Place) set(o *s3.Options) {
	o.UseAccelerate = s.client.UseAccelerate
	o.UsePathStyle = s.client.UsePathStyle
	o.EndpointOptions.DisableHTTPS = s.client.EndpointOptions.DisableHTTPS
	o.DisableLogOutputChecksumValidationSkipped = true
	if s.class != "" {
		o.APIOptions = append(o.APIOptions, s.classify)
	}
}

// classify gives new objects their class, which the driver has no option for.
func (s *s3Place) classify(stack *middleware.Stack) error {
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("StorageClass", func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (middleware.InitializeOutput, middleware.Metadata, error) {
		switch request := in.Parameters.(type) {
		case *s3.PutObjectInput:
			request.StorageClass = s.class
		case *s3.CreateMultipartUploadInput:
			request.StorageClass = s.class
		}
		return next.HandleInitialize(ctx, in)
	}), middleware.Before)
}
