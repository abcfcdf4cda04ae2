package ui

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"path"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/api"
)

//go:embed static
var files embed.FS

var loginForm = template.Must(template.ParseFS(files, "static/login.html"))

// openFiles are the files of the login form, which are served to everyone.
var openFiles = map[string]bool{"style.css": true, "login.css": true, "login.js": true, "icon.svg": true}

func (u *UI) redirect(c *gin.Context) {
	c.Header("Location", "ui/") // relative: a proxy may have added a prefix
	c.Status(http.StatusMovedPermanently)
}

// page returns a handler that answers with a file.
func page(name string) func(*UI, *gin.Context) {
	return func(_ *UI, c *gin.Context) { http.ServeFileFS(c.Writer, c.Request, files, "static/"+name) }
}

// asset answers with a file that a page refers to: /ui/open/… for everyone, /ui/static/…
// for operators.
func (u *UI) asset(c *gin.Context) {
	name := path.Base(c.Param("file"))
	if path.Ext(name) == ".html" || path.Base(path.Dir(c.FullPath())) == "open" && !openFiles[name] {
		api.Refuse(c, http.StatusNotFound, "no such file")
		return
	}
	page(name)(u, c)
}

// form answers with the login form.
func (u *UI) form(c *gin.Context, status int, problem string) {
	var body bytes.Buffer
	_ = loginForm.Execute(&body, problem) // never fails for a text
	c.Data(status, "text/html; charset=utf-8", body.Bytes())
	c.Abort()
}
