package config_test

import (
	"crypto/rand"
	"crypto/rsa"
	"slices"
	"strings"
	"testing"

	"outlook-monitor/internal/config"
)

// rsaPair writes a certificate and its RSA key and returns their paths.
func rsaPair(t *testing.T, bits int) (cert, key string) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return certify(t, private)
}

func TestEncryptionPairs(t *testing.T) {
	cert, key := rsaPair(t, 2048)
	otherCert, otherKey := rsaPair(t, 2048)
	weakCert, weakKey := rsaPair(t, 1024)
	folder := t.TempDir()
	both := func(certs, keys string) env {
		return needed().with("ENCRYPTION_CERT_FILE", certs, "ENCRYPTION_KEY_FILE", keys)
	}
	managed := func(without string) env {
		return both(cert, key).with("AZURE_CLIENT_SECRET", "", "AZURE_MANAGED_IDENTITY", "true", without, "")
	}
	tests := map[string]struct {
		env  env
		want []string // the variables that are blamed
		says string
	}{
		"none":                              {needed(), nil, ""},
		"a pair":                            {both(cert, key), nil, ""},
		"two pairs with spaces":             {both(cert+" , "+otherCert, key+","+otherKey), nil, ""},
		"a managed identity with its names": {managed("ENCRYPTION_NONE"), nil, ""},

		"a certificate without a key":       {both(cert, ""), []string{"ENCRYPTION_KEY_FILE"}, "set both or none"},
		"a key without a certificate":       {both("", key), []string{"ENCRYPTION_CERT_FILE"}, "set both or none"},
		"lists of different length":         {both(cert+","+otherCert, key), []string{"ENCRYPTION_KEY_FILE"}, "name as many"},
		"an encrypted key":                  {both(cert, "../graph/testdata/encrypted.pem"), []string{"ENCRYPTION_CERT_FILE"}, "openssl pkey"},
		"PKCS#12":                           {both(cert, "../graph/testdata/openssl3.p12"), []string{"ENCRYPTION_CERT_FILE"}, "openssl pkcs12"},
		"keys in another order":             {both(cert+","+otherCert, otherKey+","+key), []string{"ENCRYPTION_CERT_FILE", "ENCRYPTION_CERT_FILE"}, "fit together"},
		"a file that is not there":          {both(cert, folder+"/none.pem"), []string{"ENCRYPTION_KEY_FILE"}, "can't be read"},
		"the second one a directory":        {both(cert+","+folder, key+","+otherKey), []string{"ENCRYPTION_CERT_FILE"}, "is a directory"},
		"commas alone":                      {both(" , ", key), []string{"ENCRYPTION_CERT_FILE"}, "names no file"},
		"a key that is too short":           {both(weakCert, weakKey), []string{"ENCRYPTION_KEY_FILE"}, "2048 to 4096"},
		"no client id to check tokens with": {managed("AZURE_CLIENT_ID"), []string{"AZURE_CLIENT_ID"}, "tokens"},
		"no tenant to check tokens with":    {managed("AZURE_TENANT_ID"), []string{"AZURE_TENANT_ID"}, "tokens"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			settings, err := new(config.Serve).Settings(tt.env.get)
			var blamed []string
			if err != nil {
				for line := range strings.SplitSeq(err.Error(), "\n") {
					blamed = append(blamed, strings.Fields(line)[0])
				}
			}
			if !slices.Equal(blamed, tt.want) || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Settings = %v, want a mistake in %v with %q", err, tt.want, tt.says)
			}
			if n := len(settings.EncryptionCertFiles); err == nil && (n != len(settings.EncryptionKeyFiles) ||
				n != len(strings.FieldsFunc(tt.env["ENCRYPTION_CERT_FILE"], func(c rune) bool { return c == ',' }))) {
				t.Errorf("files = %v and %v, want those of the setting", settings.EncryptionCertFiles, settings.EncryptionKeyFiles)
			}
		})
	}
}
