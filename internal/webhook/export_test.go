package webhook

// Open opens encrypted content.
func (c *Certificates) Open(id, dataKey, data, signature string) ([]byte, error) {
	return c.open(&sealed{Data: text(data), DataKey: text(dataKey), DataSignature: text(signature), CertificateID: text(id)})
}

// Why Open may fail.
var (
	ErrSealed      = errSealed
	ErrCertificate = errCertificate
)
