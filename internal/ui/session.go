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

	"outlook-monitor/internal/api"
)

const (
	// sessionCookie has no path, so that browsers send it only to the paths beside the
	// login form, even behind a proxy that adds a prefix.
	sessionCookie   = "outlook_monitor_session"
	sessionLifetime = 12 * time.Hour
	maxForm         = 4 << 10
)

// sessionKey derives the key that signs sessions, so that a session does not help to guess
// the token.
func sessionKey(token string) []byte {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write([]byte("outlook-monitor: sessions of the operator's page, version 1"))
	return mac.Sum(nil)
}

// newSession returns a session: its expiry in seconds since 1970, and the signature of that.
func (u *UI) newSession(expires time.Time) string {
	body := binary.BigEndian.AppendUint64(nil, uint64(expires.Unix()))
	return base64.RawURLEncoding.EncodeToString(append(body, u.sign(body)...))
}

func (u *UI) sign(body []byte) []byte {
	mac := hmac.New(sha256.New, u.key)
	mac.Write(body)
	return mac.Sum(nil)
}

// valid reports whether a session is signed with the key and has not expired.
func (u *UI) valid(session string, now time.Time) bool {
	raw, err := base64.RawURLEncoding.DecodeString(session)
	if err != nil || len(raw) != 8+sha256.Size || !hmac.Equal(raw[8:], u.sign(raw[:8])) {
		return false
	}
	return now.Unix() < int64(binary.BigEndian.Uint64(raw[:8]))
}

// admitted reports whether a request shows a session or the token.
func (u *UI) admitted(r *http.Request) bool {
	if cookie, err := r.Cookie(sessionCookie); err == nil && u.valid(cookie.Value, time.Now()) {
		return true
	}
	return u.cfg.Access.Admits(r)
}

// refuseUnauthorized answers a request without a session, with the login form for a
// browser. It does not offer basic auth, because browsers would then show their own dialog.
func (u *UI) refuseUnauthorized(c *gin.Context) {
	c.Header("WWW-Authenticate", `Bearer realm="outlook-monitor"`)
	if c.Request.Method == http.MethodGet && !strings.HasPrefix(c.Request.URL.Path, "/ui/api/") &&
		strings.Contains(c.GetHeader("Accept"), "text/html") {
		u.form(c, http.StatusUnauthorized, "")
		return
	}
	api.Refuse(c, http.StatusUnauthorized, "log in at /ui/, or show MONITOR_TOKEN as a bearer token or as the password of basic auth")
}

// login starts a session if the form has the right token.
func (u *UI) login(c *gin.Context) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxForm)
	if err := c.Request.ParseForm(); err != nil {
		api.Refuse(c, http.StatusBadRequest, "not a login form")
		return
	}
	if !u.cfg.Access.Accepts(c.Request, c.Request.PostForm.Get("token")) {
		u.form(c, http.StatusUnauthorized, "That is not the token of this service.")
		return
	}
	expires := time.Now().Add(sessionLifetime)
	http.SetCookie(c.Writer, u.cookie(c.Request, u.newSession(expires), expires))
	c.Header("Location", "./")
	c.Status(http.StatusSeeOther)
}

// logout deletes the session in the browser.
func (u *UI) logout(c *gin.Context) {
	http.SetCookie(c.Writer, u.cookie(c.Request, "", time.Unix(1, 0)))
	c.Header("Location", "./")
	c.Status(http.StatusSeeOther)
}

// cookie returns the session cookie. It is for https only if the browser used https.
func (u *UI) cookie(r *http.Request, value string, expires time.Time) *http.Cookie {
	return &http.Cookie{
		Name: sessionCookie, Value: value, Expires: expires, HttpOnly: true, Secure: u.cfg.Access.Secure(r), SameSite: http.SameSiteStrictMode,
	}
}
