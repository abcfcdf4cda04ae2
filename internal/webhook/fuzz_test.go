package webhook_test

import (
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/webhook"
)

// fixedKey makes the same key in every process: the fuzzer's workers must agree,
// and a corpus must stay good.
func fixedKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	one, exponent := big.NewInt(1), big.NewInt(65537)
	prime := func(name string) *big.Int {
		raw := []byte{}
		for len(raw) < 128 {
			sum := sha256.Sum256(append([]byte(name), raw...))
			raw = append(raw, sum[:]...)
		}
		raw[0] |= 0xc0
		raw[len(raw)-1] |= 1
		p := new(big.Int).SetBytes(raw)
		for !p.ProbablyPrime(0) || new(big.Int).GCD(nil, nil, exponent, new(big.Int).Sub(p, one)).Cmp(one) != 0 {
			p.Add(p, big.NewInt(2))
		}
		return p
	}
	p, q := prime("p"), prime("q")
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537},
		D:         new(big.Int).ModInverse(exponent, phi), Primes: []*big.Int{p, q},
	}
	key.Precompute()
	if err := key.Validate(); err != nil {
		t.Fatal(err)
	}
	return key
}

func FuzzTokens(f *testing.F) {
	l, key := globalLogin(), fixedKey(f)
	l.keys["a"] = key
	lasting := func(d *draft) {
		d.key = key
		d.claims["iat"], d.claims["nbf"], d.claims["exp"] = 1700000000, 1700000000, 4102444800
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
	tokens := check(f, l.config())
	breaks := strings.NewReplacer("\r", "", "\n", "") // base64 skips them
	f.Fuzz(func(t *testing.T, token string) {
		switch err := tokens.Check(t.Context(), []string{token}); {
		case err == nil && !slices.Contains(genuine, breaks.Replace(token)):
			t.Errorf("Check(%q) = nil, want %v", token, webhook.ErrBadToken)
		case err != nil && !errors.Is(err, webhook.ErrBadToken):
			t.Errorf("Check(%q) = %v, want %v", token, err, webhook.ErrBadToken)
		}
	})
}

func FuzzOpen(f *testing.F) {
	key := fixedKey(f)
	certificates := load(f, newFiles(f).write(f, key, time.Hour))
	graph := current(f, certificates)
	add := func(fields map[string]any) {
		f.Add(fields["dataKey"].(string), fields["data"].(string), fields["dataSignature"].(string))
	}
	for _, text := range []string{event, `{}`, `{"id":"a block"}`, "null", ""} {
		add(graph.seal(f, text, nil))
	}
	add(graph.seal(f, event, func(e *envelope) { e.data[len(e.data)-1] = 0 }))
	add(graph.seal(f, event, func(e *envelope) { e.secret = e.secret[:16] }))
	add(graph.seal(f, event, nil, put("dataSignature", sum("x"))))
	f.Add("", "", "")
	// signed says, in other words than the code, whether content is Graph's.
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
		text, err := certificates.Open(graph.id, dataKey, data, signature)
		switch {
		case err == nil && !signed(dataKey, data, signature):
			t.Errorf("Open(%q, %q, %q) = %q, want an error: it is not signed", dataKey, data, signature, text)
		case err == nil && !object(text):
			t.Errorf("Open = %q, want an object", text)
		case err != nil && (err != webhook.ErrSealed || text != nil):
			t.Errorf("Open = %q, %v, want nothing but %v", text, err, webhook.ErrSealed)
		}
		if _, err := certificates.Open(graph.id+"x", dataKey, data, signature); err != webhook.ErrCertificate && err != webhook.ErrSealed {
			t.Errorf("Open with an unknown certificate = %v, want %v", err, webhook.ErrCertificate)
		}
	})
}

func object(text []byte) bool {
	var fields map[string]any
	return json.Unmarshal(text, &fields) == nil && fields != nil
}

func FuzzWhatGraphSealsIsOpened(f *testing.F) {
	certificates := load(f, newFiles(f).write(f, fixedKey(f), time.Hour))
	graph := current(f, certificates)
	for _, text := range []string{event, `{}`, `{"id":"a block"}`, "null", "[]", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		fields := graph.seal(t, text, nil)
		got, err := certificates.Open(graph.id, fields["dataKey"].(string), fields["data"].(string), fields["dataSignature"].(string))
		if object([]byte(text)) != (err == nil) || err == nil && string(got) != text {
			t.Errorf("Open of sealed %q = %q, %v, want it back if it is an object", text, got, err)
		}
	})
}
