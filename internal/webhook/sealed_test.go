package webhook_test

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/webhook"
)

var (
	firstKey  = sync.OnceValue(func() *rsa.PrivateKey { return newKey(2048) })
	secondKey = sync.OnceValue(func() *rsa.PrivateKey { return newKey(2048) })
	thirdKey  = sync.OnceValue(func() *rsa.PrivateKey { return newKey(2048) })
	weakKey   = sync.OnceValue(func() *rsa.PrivateKey { return newKey(1024) })
	curveKey  = sync.OnceValue(func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		return key
	})
)

// files are a certificate and its private key on disk.
type files struct{ cert, key string }

func newFiles(t testing.TB) files {
	t.Helper()
	dir := t.TempDir()
	return files{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
}

// write makes a certificate of a key and puts both into the files.
func (f files) write(t testing.TB, private crypto.Signer, life time.Duration) files {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: serial, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(life)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	save(t, f.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	save(t, f.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	return f
}

// writes counts them, so that each file gets a time of its own.
var writes atomic.Int64

func save(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1_700_000_000+writes.Add(1), 0)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func load(t testing.TB, pairs ...files) *webhook.Certificates {
	t.Helper()
	var certs, keys []string
	for _, f := range pairs {
		certs, keys = append(certs, f.cert), append(keys, f.key)
	}
	c, err := webhook.NewCertificates(certs, keys, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// subscriber is what Graph knows of a subscription with resource data.
type subscriber struct {
	id  string
	key *rsa.PublicKey
}

// current is a subscription made now.
func current(t testing.TB, c *webhook.Certificates) subscriber {
	t.Helper()
	id, certificate := c.Current()
	der, err := base64.StdEncoding.DecodeString(certificate)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return subscriber{id, parsed.PublicKey.(*rsa.PublicKey)}
}

// envelope is encrypted content before it is written down.
type envelope struct {
	secret, data []byte // data is filled up to a block, then encrypted
}

// seal does as Graph does with a text: the edits of the envelope come before it
// is encrypted, those of the fields at the end.
func (s subscriber) seal(t testing.TB, text string, before func(*envelope), edits ...func(map[string]any)) map[string]any {
	t.Helper()
	e := &envelope{secret: make([]byte, 32)}
	if _, err := rand.Read(e.secret); err != nil {
		t.Fatal(err)
	}
	fill := aes.BlockSize - len(text)%aes.BlockSize
	e.data = append([]byte(text), bytes.Repeat([]byte{byte(fill)}, fill)...)
	if before != nil {
		before(e)
	}
	block, err := aes.NewCipher(e.secret)
	if err != nil {
		t.Fatal(err)
	}
	cipher.NewCBCEncrypter(block, e.secret[:aes.BlockSize]).CryptBlocks(e.data, e.data)
	mac := hmac.New(sha256.New, e.secret)
	mac.Write(e.data)
	wrapped, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, s.key, e.secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.StdEncoding.EncodeToString
	fields := map[string]any{
		"data": encode(e.data), "dataKey": encode(wrapped), "dataSignature": encode(mac.Sum(nil)),
		"encryptionCertificateId": s.id, "encryptionCertificateThumbprint": "0123456789ABCDEF",
	}
	for _, edit := range edits {
		edit(fields)
	}
	return fields
}

// event is the text that is encrypted.
const event = `{"id":"y","showAs":"oof","subject":"a secret of the user"}`

// rich is a notification with resource data.
func (s subscriber) rich(t testing.TB, id ooo.ObjectID, edits ...func(map[string]any)) map[string]any {
	return notice(id, put("encryptedContent", s.seal(t, event, nil, edits...)))
}
