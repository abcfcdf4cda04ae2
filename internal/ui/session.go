package ui

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

const (
	// sessionName is the cookie. It has no path, so that browsers send it to what
	// lies beside the login form alone, behind a proxy that adds a prefix too.
	sessionName = "outlook_monitor_session"
	sessionLife = 12 * time.Hour
	maxForm     = 4 << 10
)

// sessionKey derives what sessions are signed with: knowing a session does not
// help to find the token.
func sessionKey(token string) []byte {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write([]byte("outlook-monitor: sessions of the operator's page, version 1"))
	return mac.Sum(nil)
}

// newSession returns a session that ends then: its end in seconds since 1970, and
// a signature of that.
func (u *UI) newSession(ends time.Time) string {
	body := binary.BigEndian.AppendUint64(nil, uint64(ends.Unix()))
	return base64.RawURLEncoding.EncodeToString(append(body, u.sign(body)...))
}

func (u *UI) sign(body []byte) []byte {
	mac := hmac.New(sha256.New, u.key)
	mac.Write(body)
	return mac.Sum(nil)
}

// holds reports whether a session is ours and has not ended.
func (u *UI) holds(session string, now time.Time) bool {
	raw, err := base64.RawURLEncoding.DecodeString(session)
	if err != nil || len(raw) != 8+sha256.Size || !hmac.Equal(raw[8:], u.sign(raw[:8])) {
		return false
	}
	return now.Unix() < int64(binary.BigEndian.Uint64(raw[:8]))
}

// admitted reports whether a request shows a session or the token.
func (u *UI) admitted(r *http.Request) bool {
	if cookie, err := r.Cookie(sessionName); err == nil && u.holds(cookie.Value, time.Now()) {
		return true
	}
	return u.cfg.Access.Admits(r)
}

// refuseUnauthorized answers one without a session: the login form for a browser.
// Basic is not offered, or browsers would ask in a window of their own.
func (u *UI) refuseUnauthorized(c *gin.Context) {
	c.Header("WWW-Authenticate", `Bearer realm="outlook-monitor"`)
	if c.Request.Method == http.MethodGet && !strings.HasPrefix(c.Request.URL.Path, "/ui/api/") &&
		strings.Contains(c.GetHeader("Accept"), "text/html") {
		u.form(c, http.StatusUnauthorized, "")
		return
	}
	refuse(c, http.StatusUnauthorized, "log in at /ui/, or show MONITOR_TOKEN as a bearer token or as the password of basic auth")
}

// login takes the token from the form and gives a session.
func (u *UI) login(c *gin.Context) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxForm)
	if err := c.Request.ParseForm(); err != nil {
		refuse(c, http.StatusBadRequest, "not a login form")
		return
	}
	if !u.cfg.Access.Accepts(c.Request, c.Request.PostForm.Get("token")) {
		u.form(c, http.StatusUnauthorized, "That is not the token of this service.")
		return
	}
	ends := time.Now().Add(sessionLife)
	http.SetCookie(c.Writer, u.cookie(c.Request, u.newSession(ends), ends))
	c.Header("Location", "./")
	c.Status(http.StatusSeeOther)
}

// logout takes the session away from the browser.
func (u *UI) logout(c *gin.Context) {
	http.SetCookie(c.Writer, u.cookie(c.Request, "", time.Unix(1, 0)))
	c.Header("Location", "./")
	c.Status(http.StatusSeeOther)
}

// cookie is for https alone if that is how the browser came.
func (u *UI) cookie(r *http.Request, value string, ends time.Time) *http.Cookie {
	return &http.Cookie{
		Name: sessionName, Value: value, Expires: ends, HttpOnly: true, Secure: u.cfg.Access.Secure(r), SameSite: http.SameSiteStrictMode,
	}
}
