package webhook

// Open opens encrypted content.
func (c *Certificates) Open(id, dataKey, data, signature string) ([]byte, error) {
	return c.open(sealed{data: data, dataKey: dataKey, dataSignature: signature, certificateID: id})
}

// Why Open may fail.
var (
	ErrSealed      = errSealed
	ErrCertificate = errCertificate
)
