package webhook_test

import (
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/webhook"
)

// fuzzKey returns the same key in every process: the workers of a fuzz run must agree on
// it, and the corpus was made with it.
func fuzzKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	block, _ := pem.Decode([]byte(filetest.Read(t, "testdata/fuzz-key.pem")))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	must.NoError(t, err)
	return key.(*rsa.PrivateKey)
}

func FuzzTokens(f *testing.F) {
	l, key := globalLogin(), fuzzKey(f)
	l.keys["a"] = key
	lasting := func(s *tokenSpec) {
		s.key = key
		s.claims["iat"], s.claims["nbf"], s.claims["exp"] = 1700000000, 1700000000, 4102444800
	}
	var genuine []string
	for _, version := range versions {
		genuine = append(genuine, l.token(f, version, lasting))
		f.Add(genuine[len(genuine)-1])
		for _, forge := range forgeries(version) {
			f.Add(l.token(f, version, lasting, forge))
		}
	}
	f.Add("a.b.c")
	tokens := runTokens(f, l.config())
	lineBreaks := strings.NewReplacer("\r", "", "\n", "") // base64 skips them
	f.Fuzz(func(t *testing.T, token string) {
		switch err := tokens.Check(t.Context(), []string{token}); {
		case err == nil && !slices.Contains(genuine, lineBreaks.Replace(token)):
			t.Errorf("Check(%q) = nil, want %v", token, webhook.ErrBadToken)
		case err != nil && !errors.Is(err, webhook.ErrBadToken):
			t.Errorf("Check(%q) = %v, want %v", token, err, webhook.ErrBadToken)
		}
	})
}

// FuzzDecrypt decrypts arbitrary content: only what is signed may be accepted.
func FuzzDecrypt(f *testing.F) {
	key := fuzzKey(f)
	certificates := loadCertificates(f, writePair(f, f.TempDir(), key, time.Hour))
	e := newEncrypter(f, certificates)
	add := func(fields map[string]any) {
		f.Add(fields["dataKey"].(string), fields["data"].(string), fields["dataSignature"].(string))
	}
	for _, text := range []string{event, `{}`, `{"id":"a block"}`, "null", ""} {
		add(e.encrypt(f, text, nil))
	}
	add(e.encrypt(f, event, nil, set("dataSignature", signatureOf("x"))))
	f.Add("", "", "")
	signed := func(dataKey, data, signature string) bool {
		wrapped, err1 := base64.StdEncoding.DecodeString(dataKey)
		encrypted, err2 := base64.StdEncoding.DecodeString(data)
		given, err3 := base64.StdEncoding.DecodeString(signature)
		secret, err4 := rsa.DecryptOAEP(sha1.New(), nil, key, wrapped, nil)
		if errors.Join(err1, err2, err3, err4) != nil {
			return false
		}
		mac := hmac.New(sha256.New, secret)
		mac.Write(encrypted)
		return string(mac.Sum(nil)) == string(given)
	}
	f.Fuzz(func(t *testing.T, dataKey, data, signature string) {
		fields := map[string]any{"dataKey": dataKey, "data": data, "dataSignature": signature, "encryptionCertificateId": e.id}
		plain, err := certificates.Decrypt(fields)
		switch {
		case err == nil && !signed(dataKey, data, signature):
			t.Errorf("Decrypt(%v) = %q, want an error: it is not signed", fields, plain)
		case err == nil && !isObject(plain):
			t.Errorf("Decrypt = %q, want an object", plain)
		case err != nil && (err != webhook.ErrBadContent || plain != nil):
			t.Errorf("Decrypt = %q, %v, want only %v", plain, err, webhook.ErrBadContent)
		}
		fields["encryptionCertificateId"] = e.id + "x"
		if _, err := certificates.Decrypt(fields); err != webhook.ErrUnknownCertificate {
			t.Errorf("Decrypt for an unknown certificate = %v, want %v", err, webhook.ErrUnknownCertificate)
		}
	})
}

func isObject(text []byte) bool {
	var fields map[string]json.RawMessage
	return json.Unmarshal(text, &fields) == nil && fields != nil
}

// FuzzRoundTrip encrypts arbitrary text as Graph does.
func FuzzRoundTrip(f *testing.F) {
	certificates := loadCertificates(f, writePair(f, f.TempDir(), fuzzKey(f), time.Hour))
	e := newEncrypter(f, certificates)
	for _, text := range []string{event, `{}`, `{"id":"a block"}`, "null", "[]", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		plain, err := certificates.Decrypt(e.encrypt(t, text, nil))
		if isObject([]byte(text)) != (err == nil) || err == nil && string(plain) != text {
			t.Errorf("Decrypt of %q = %q, %v, want the text if it is an object", text, plain, err)
		}
	})
}
