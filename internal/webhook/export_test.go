package webhook

// Open opens encrypted content.
func (c *Certificates) Open(id, dataKey, data, signature string) ([]byte, error) {
	return c.open(&sealed{Data: data, DataKey: dataKey, DataSignature: signature, CertificateID: id})
}

// Why Open may fail.
var (
	ErrSealed      = errSealed
	ErrCertificate = errCertificate
)
