package ui

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"path"
	"time"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/api"
)

//go:embed static
var files embed.FS

var loginForm = template.Must(template.ParseFS(files, "static/login.html"))

// openFiles are the files of the login form, which are served to everyone.
var openFiles = map[string]bool{"style.css": true, "login.css": true, "login.js": true, "icon.svg": true}

// contentTypes are fixed here, because those of package mime depend on the system.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
	".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

func (u *UI) redirect(c *gin.Context) {
	c.Header("Location", "ui/") // relative: a proxy may have added a prefix
	c.Status(http.StatusMovedPermanently)
}

// page returns a handler that answers with a file.
func page(name string) func(*UI, *gin.Context) {
	return func(_ *UI, c *gin.Context) { serveFile(c, name) }
}

// asset answers with a file that a page refers to: /ui/open/… for everyone, /ui/static/…
// for operators.
func (u *UI) asset(c *gin.Context) {
	name := path.Base(c.Param("file"))
	if path.Ext(name) == ".html" || path.Base(path.Dir(c.FullPath())) == "open" && !openFiles[name] {
		api.Refuse(c, http.StatusNotFound, "no such file")
		return
	}
	serveFile(c, name)
}

// serveFile answers with an embedded file, or 304 if the browser has it already.
func serveFile(c *gin.Context, name string) {
	body, err := files.ReadFile("static/" + name)
	if err != nil {
		api.Refuse(c, http.StatusNotFound, "no such file")
		return
	}
	sum := sha256.Sum256(body)
	h := c.Writer.Header()
	h.Set("ETag", `"`+base64.RawURLEncoding.EncodeToString(sum[:12])+`"`)
	h.Set("Cache-Control", "private, no-cache")
	h.Set("Content-Type", contentTypes[path.Ext(name)])
	http.ServeContent(c.Writer, c.Request, name, time.Time{}, bytes.NewReader(body))
}

// form answers with the login form.
func (u *UI) form(c *gin.Context, status int, problem string) {
	var body bytes.Buffer
	_ = loginForm.Execute(&body, problem) // never fails for a text
	c.Data(status, contentTypes[".html"], body.Bytes())
	c.Abort()
}
