package webhook

import "encoding/json"

// CheckKey checks the key of a certificate.
var CheckKey = checkKey

// Decrypt decrypts encrypted content.
func (c *Certificates) Decrypt(fields map[string]any) ([]byte, error) {
	content, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	return c.decrypt(content)
}

// The errors of Decrypt.
var (
	ErrBadContent         = errBadContent
	ErrUnknownCertificate = errUnknownCertificate
)
