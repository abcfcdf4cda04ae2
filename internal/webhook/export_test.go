package webhook

// Open opens encrypted content.
func (c *Certificates) Open(id, dataKey, data, signature string) ([]byte, error) {
	return c.open(sealed{text(data), text(dataKey), text(signature), text(id)})
}

// Why Open may fail.
var (
	ErrSealed      = errSealed
	ErrCertificate = errCertificate
)
