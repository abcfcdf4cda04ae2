package webhook

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
)

// maxMetadata bounds an answer of the login endpoint.
const maxMetadata = 1 << 20

// get reads a JSON document of the login endpoint.
func (k *keyring) get(ctx context.Context, from string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return errors.New("the address is not one")
	}
	response, err := k.client.Do(request)
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the login endpoint answered %d", response.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, maxMetadata+1))
	switch {
	case err != nil:
		return errors.New("the answer broke off")
	case len(data) > maxMetadata || json.Unmarshal(data, into) != nil:
		return errors.New("the answer is not the JSON it should be")
	}
	return nil
}

// publicKey is a key as it is published, a JSON Web Key.
type publicKey struct {
	ID        string `json:"kid"`
	Type      string `json:"kty"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
	Modulus   string `json:"n"`
	Exponent  string `json:"e"`
}

// Bits of a modulus and of an exponent.
const (
	leastModulus, mostModulus = 2048, 8192
	mostExponent              = 31
)

// rsa returns a key that may check signatures with RS256, nil if it is none.
func (p publicKey) rsa() *rsa.PublicKey {
	if p.ID == "" || p.Type != "RSA" || p.Use != "" && p.Use != "sig" || p.Algorithm != "" && p.Algorithm != "RS256" {
		return nil
	}
	n, e := number(p.Modulus), number(p.Exponent)
	if n.BitLen() < leastModulus || n.BitLen() > mostModulus || e.BitLen() < 2 || e.BitLen() > mostExponent || e.Bit(0) == 0 {
		return nil
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}
}

// number reads a base64url number, 0 if it is none.
func number(text string) *big.Int {
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return new(big.Int)
	}
	return new(big.Int).SetBytes(data)
}
