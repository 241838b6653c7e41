package clouds

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
)

// hush is in every value that must not be shown.
const hush = "hush"

// encoded is a document as CREDENTIALS holds it.
func encoded(document string) string {
	return url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(document)))
}

// TestParametersThatCannotBe: the error is typed and names the parameter, and no value.
func TestParametersThatCannotBe(t *testing.T) {
	for in, want := range map[string]string{
		// All schemes.
		"s3:///path":                          "names no bucket",
		"s3://u:hush@b":                       "has a user; credentials are parameters",
		"s3://b:80":                           "has a port",
		"s3://b#hush":                         "has a fragment",
		"s3://b?AWS_REGION=hush;x=hush":       "has parameters that are not escaped",
		"s3://b?AWS_REGIN=hush":               `parameter "AWS_REGIN" is not known`,
		"gs://b?AWS_REGION=hush":              `parameter "AWS_REGION" is not known`,
		"azure://b?CREDENTIALS=hush":          `parameter "CREDENTIALS" is not known`,
		"s3://b?AUTH=hush":                    "parameter AUTH is none of [specified implicit]",
		"s3://b?AWS_REGION=":                  "parameter AWS_REGION is empty",
		"s3://b?AWS_REGION=hush&region=hush":  "parameters AWS_REGION and region say the same",
		"s3://b?region=hush&region=hush":      "parameter region is given twice",
		"s3://b?AWS_USE_PATH_STYLE=hush":      "parameter AWS_USE_PATH_STYLE is neither true nor false",
		"s3://b?fips=true&fips=hush":          "parameter fips is given twice",
		"s3://b?region=x&prefix=p&nokey=hush": `parameter "nokey" is not known`,
		// S3.
		"s3://b":                             "parameter AWS_REGION is missing",
		"s3://b?AUTH=specified&AWS_REGION=x": "parameter AWS_ACCESS_KEY_ID is missing, and AUTH is specified",
		"s3://b?AUTH=implicit&AWS_ACCESS_KEY_ID=hush&AWS_SECRET_ACCESS_KEY=hush":                    "parameter AWS_ACCESS_KEY_ID contradicts AUTH",
		"s3://b?AWS_ACCESS_KEY_ID=hush":                                                             "parameter AWS_SECRET_ACCESS_KEY is missing",
		"s3://b?AWS_SECRET_ACCESS_KEY=hush":                                                         "parameter AWS_ACCESS_KEY_ID is missing",
		"s3://b?AWS_SESSION_TOKEN=hush":                                                             "parameter AWS_ACCESS_KEY_ID is missing",
		"s3://b?AWS_REGION=x&AWS_ACCESS_KEY_ID=hush&AWS_SECRET_ACCESS_KEY=a+hush":                   "parameter AWS_SECRET_ACCESS_KEY has a space; write each + as %2B",
		"s3://b?AWS_REGION=x&AWS_ACCESS_KEY_ID=hush&AWS_SECRET_ACCESS_KEY=hush&profile=hush":        "parameter profile contradicts AWS_ACCESS_KEY_ID",
		"s3://b?AWS_REGION=x&AWS_ACCESS_KEY_ID=hush&AWS_SECRET_ACCESS_KEY=hush&anonymous=true":      "parameter anonymous contradicts",
		"s3://b?AWS_REGION=x&AWS_ENDPOINT=hush":                                                     "parameter AWS_ENDPOINT is not https://host",
		"s3://b?AWS_REGION=x&endpoint=http://u:hush@h":                                              "parameter AWS_ENDPOINT is not https://host",
		"s3://b?AWS_REGION=x&S3_STORAGE_CLASS=hush":                                                 "parameter S3_STORAGE_CLASS is none of",
		"s3://b?AWS_REGION=x&S3_STORAGE_CLASS=DEEP_ARCHIVE":                                         "parameter S3_STORAGE_CLASS is one whose objects must be thawed",
		"s3://b?AWS_REGION=x&AWS_SERVER_ENC_MODE=hush":                                              "parameter AWS_SERVER_ENC_MODE is none of",
		"s3://b?AWS_REGION=x&AWS_SERVER_KMS_ID=hush":                                                "parameter AWS_SERVER_KMS_ID needs AWS_SERVER_ENC_MODE",
		"s3://b?AWS_REGION=x&AWS_SERVER_ENC_MODE=AES256&AWS_SERVER_KMS_ID=hush":                     "parameter AWS_SERVER_KMS_ID needs AWS_SERVER_ENC_MODE",
		"s3://b?AWS_REGION=x&AWS_SKIP_CHECKSUM=true&request_checksum_calculation=when_supported":    "parameter request_checksum_calculation contradicts AWS_SKIP_CHECKSUM",
		"s3://b?AWS_REGION=x&ASSUME_ROLE=hush":                                                      "parameter ASSUME_ROLE",
		"s3://b?AWS_REGION=x&ASSUME_ROLE=" + url.QueryEscape("arn:aws:iam::1:role/a;external_id=,"): "parameter ASSUME_ROLE",
		// Google.
		"gs://b?AUTH=specified":                     "parameter CREDENTIALS is missing, and AUTH is specified",
		"gs://b?AUTH=implicit&CREDENTIALS=hush":     "parameter CREDENTIALS contradicts AUTH",
		"gs://b?CREDENTIALS=hush!":                  "parameter CREDENTIALS is not JSON in base64",
		"gs://b?CREDENTIALS=" + encoded("hush"):     "parameter CREDENTIALS is not JSON in base64",
		"gs://b?CREDENTIALS=" + encoded(`["hush"]`): "parameter CREDENTIALS is neither a service_account nor an authorized_user",
		"gs://b?CREDENTIALS=" + encoded(`{"type": "external_account", "token_url": "https://hush.example"}`):       "parameter CREDENTIALS is neither",
		"gs://b?CREDENTIALS=" + encoded(`{"type": "service_account", "private_key": 7, "private_key_id": "hush"}`): "parameter CREDENTIALS is not a complete service_account",
		"gs://b?anonymous=hush": "parameter anonymous is neither true nor false",
		"gs://b?anonymous=true&CREDENTIALS=" + encoded(`{"type": "authorized_user"}`): "parameter CREDENTIALS contradicts anonymous",
		// Azure.
		"azblob://b?AZURE_ACCOUNT_KEY=hush":                                                                                         "parameter AZURE_ACCOUNT_NAME is missing",
		"azure://b?AZURE_ACCOUNT_NAME=a&AZURE_ACCOUNT_KEY=!hush":                                                                    "parameter AZURE_ACCOUNT_KEY",
		"azure-blob://b?AZURE_ACCOUNT_NAME=a&storage_account=hush":                                                                  "parameters AZURE_ACCOUNT_NAME and storage_account say the same",
		"azure://b?AUTH=specified&AZURE_ACCOUNT_NAME=a":                                                                             "parameter AZURE_ACCOUNT_KEY is missing, and AUTH is specified",
		"azure://b?AUTH=implicit&AZURE_ACCOUNT_NAME=a&AZURE_ACCOUNT_KEY=aHVzaA==":                                                   "parameter AZURE_ACCOUNT_KEY contradicts AUTH",
		"azure://b?AZURE_ACCOUNT_NAME=a&AZURE_CLIENT_ID=hush":                                                                       "parameter AZURE_CLIENT_SECRET is missing",
		"azure://b?AZURE_ACCOUNT_NAME=a&AZURE_CLIENT_ID=hush&AZURE_CLIENT_SECRET=hush&AZURE_TENANT_ID=t&AZURE_ACCOUNT_KEY=aHVzaA==": "parameter AZURE_CLIENT_ID contradicts AZURE_ACCOUNT_KEY",
		"azure://b?AZURE_ACCOUNT_NAME=a&AZURE_CLIENT_ID=c&AZURE_CLIENT_SECRET=hush&AZURE_TENANT_ID=%2Fhush":                         "parameter AZURE_TENANT_ID, AZURE_CLIENT_ID or AZURE_CLIENT_SECRET cannot be",
		"azure://b?AZURE_ACCOUNT_NAME=a&AZURE_ENVIRONMENT=hush":                                                                     "parameter AZURE_ENVIRONMENT is none of",
		"azure://b?AZURE_ACCOUNT_NAME=a&AZURE_ENVIRONMENT=AzureChinaCloud&domain=hush.test":                                         "parameter domain contradicts AZURE_ENVIRONMENT",
		"azure://b?AZURE_ACCOUNT_NAME=a&protocol=hush":                                                                              "parameter protocol is none of [http https]",
		"azure://b": "parameter AZURE_ACCOUNT_NAME is missing",
	} {
		t.Run(in, func(t *testing.T) {
			clearEnvironment(t)
			_, err := varve.OpenCollection(t.Context(), in, nil)
			var option *varve.OptionError
			require.ErrorAs(t, err, &option)
			require.Equal(t, "collectionURL", option.Field)
			require.Contains(t, err.Error(), want)
			require.NotContains(t, strings.ReplaceAll(err.Error(), "hush.example", ""), hush)
		})
	}
}

// TestSASTokenStays where it was made for.
func TestSASTokenStays(t *testing.T) {
	clearEnvironment(t)
	t.Setenv("AZURE_STORAGE_ACCOUNT", "a")
	t.Setenv("AZURE_STORAGE_SAS_TOKEN", "sig="+hush)
	for _, parameter := range []string{"AZURE_ACCOUNT_NAME=b", "storage_account=b", "domain=evil.test", "AZURE_ENVIRONMENT=AzureChinaCloud", "protocol=http"} {
		_, err := varve.OpenCollection(t.Context(), "azure://b?"+parameter, nil)
		name, _, _ := strings.Cut(parameter, "=")
		require.ErrorContains(t, err, "parameter "+name+" contradicts the variable AZURE_STORAGE_SAS_TOKEN")
		require.NotContains(t, err.Error(), hush)
	}
	place, err := parseAzure(&url.URL{Host: "c", RawQuery: "AZURE_ACCOUNT_NAME=b&AZURE_ACCOUNT_KEY=aHVzaA%3D%3D"})
	require.NoError(t, err)
	client, err := place.client()
	require.NoError(t, err)
	require.Equal(t, "https://b.blob.core.windows.net/c", client.URL(), "other credentials, so no token")
}

// TestAzurePlaces: where the blobs are.
func TestAzurePlaces(t *testing.T) {
	clearEnvironment(t)
	for query, want := range map[string]string{
		"":                                    "https://a.blob.core.windows.net/c",
		"&AZURE_ENVIRONMENT=AzurePublicCloud": "https://a.blob.core.windows.net/c",
		"&AZURE_ENVIRONMENT=AzureUSGovernmentCloud":           "https://a.blob.core.usgovcloudapi.net/c",
		"&AZURE_ENVIRONMENT=AzureChinaCloud":                  "https://a.blob.core.chinacloudapi.cn/c",
		"&domain=blob.example&cdn=true":                       "https://blob.example/c",
		"&domain=127.0.0.1:10000&protocol=http&localemu=true": "http://127.0.0.1:10000/a/c",
	} {
		place, err := parseAzure(&url.URL{Host: "c", RawQuery: "AZURE_ACCOUNT_NAME=a&AZURE_ACCOUNT_KEY=aHVzaA%3D%3D" + query})
		require.NoError(t, err)
		client, err := place.client()
		require.NoError(t, err)
		require.Equal(t, want, client.URL())
	}
}

// clearEnvironment hides what would be credentials of the machine.
func clearEnvironment(t *testing.T) {
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL",
		"AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_CONNECTION_STRING",
		"AZURE_STORAGEBLOB_CONNECTIONSTRING", "AZURE_STORAGE_DOMAIN", "AZURE_STORAGE_PROTOCOL", "STORAGE_EMULATOR_HOST",
	} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", "/nowhere")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}
