package plugin

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/routing"
	"github.com/keyward-dev/keyward/pkg/urltoken"
)

// signing is what sign is asked for.
type signing struct {
	url, path, project, origin string
	methods                    []string
	expires                    time.Duration
	stdin                      bool
}

func (a *app) sign() *cobra.Command {
	s := &signing{}
	cmd := &cobra.Command{
		Use:   "sign [KEY] --url URL",
		Short: "Sign a URL with a key, for somebody who has none",
		Long: `Sign a URL with a key, for somebody who has none, such as a page, and print it. Whoever has the URL can request it until
it expires, or until the key does, is rotated or revoked. The ApiKey must have signedURLs: true.

The key is read from its Secret, or with --key-stdin from standard input or a hidden prompt. It is sent nowhere, and never
printed.`,
		Example: `  kubectl keyward -n acme sign acme-web --url https://cdn.acme.example/videos/intro.mp4
  kubectl keyward -n acme sign acme-web --url https://cdn.acme.example/embed/1 --path /embed/ --expires 1h
  kubectl keyward sign --key-stdin --project marketing --url https://cdn.acme.example/videos/intro.mp4 <key.txt`,
		Args: func(cmd *cobra.Command, args []string) error {
			if s.stdin {
				return noArguments(cmd, args)
			}
			return keyName(cmd, args)
		},
		ValidArgsFunction: a.completeKeys,
		RunE: func(cmd *cobra.Command, args []string) error {
			claims, err := s.claims(a.now())
			if err != nil {
				return err
			}
			text, err := a.signingKey(cmd.Context(), s, args, &claims)
			if err != nil {
				return err
			}
			return a.printSigned(s.url, text, claims)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&s.url, "url", "", "the URL to sign")
	flags.StringVar(&s.path, "path", "", "sign for this path and everything below it; default: the path of the URL")
	flags.StringVar(&s.project, "project", "", "the project that the URL belongs to; default: that of the key, if it has one only")
	flags.StringVar(&s.origin, "origin", "", "the only page that may use the URL, such as https://www.acme.example")
	flags.StringSliceVar(&s.methods, "method", nil, "the methods that the URL may be requested with; default: GET and HEAD")
	flags.DurationVar(&s.expires, "expires", 15*time.Minute, "for how long the URL is good, 24h at most")
	flags.BoolVar(&s.stdin, "key-stdin", false, "read the key from standard input")
	return cmd
}

// claims returns what is signed, apart from the project of the key.
func (s *signing) claims(now time.Time) (urltoken.Claims, error) {
	parsed, err := url.Parse(s.url)
	if err != nil || s.url == "" || !strings.HasPrefix(parsed.EscapedPath(), "/") {
		return urltoken.Claims{}, usagef("--url: give the whole URL to sign, with a path, such as https://cdn.acme.example/videos/intro.mp4")
	}
	if parsed.Scheme != "https" && parsed.Scheme != "http" || parsed.Hostname() == "" || parsed.User != nil {
		return urltoken.Claims{},
			usagef("--url: give the whole URL, with a host and without a user, such as https://cdn.acme.example/videos/intro.mp4")
	}
	if s.expires < time.Second || s.expires > urltoken.MaxLifetime {
		return urltoken.Claims{}, usagef("--expires: a signed URL is good for 1s to 24h")
	}
	if s.stdin && s.project == "" {
		return urltoken.Claims{}, usagef("--project: name the project that the URL belongs to")
	}
	claims := urltoken.Claims{Project: s.project, Path: s.path, Origin: s.origin, Methods: s.methods, Expires: now.Add(s.expires)}
	if claims.Path == "" {
		claims.Path = parsed.EscapedPath()
	}
	return claims, checkSignedPath(parsed.EscapedPath(), claims.Path)
}

// checkSignedPath returns an error if validation servers refuse the path of the URL, or if it is not below the signed one, however
// their content servers read paths.
func checkSignedPath(requested, signed string) error {
	reading := routing.Reading{Parameters: true}
	path, err := reading.Path(requested)
	if err != nil {
		return usagef("--url: validation servers refuse this path, because two readers could disagree about it: %w", err)
	}
	below, err := reading.Path(signed)
	if err != nil {
		return usagef("--path: validation servers refuse this path, because two readers could disagree about it: %w", err)
	}
	path, below = strings.ToLower(path), strings.ToLower(below) // some ignore the case
	if path != below && !strings.HasPrefix(path, strings.TrimSuffix(below, "/")+"/") {
		return usagef("--path: the path of the URL is not below it; sign for a part of that path")
	}
	return nil
}

// signingKey returns the text of the key, and completes the claims.
func (a *app) signingKey(ctx context.Context, s *signing, args []string, claims *urltoken.Claims) (string, error) {
	if s.stdin {
		return a.readKey(ctx)
	}
	session, err := a.connect()
	if err != nil {
		return "", err
	}
	key, err := session.key(ctx, args[0])
	if err != nil {
		return "", err
	}
	if !ptr.Deref(key.Spec.SignedURLs, false) {
		return "", refusedf("ApiKey %s/%s signs no URLs: set spec.signedURLs: true", key.Namespace, key.Name)
	}
	if claims.Project, err = projectOf(key, claims.Project); err != nil {
		return "", err
	}
	_, text, found, err := session.find(ctx, key)
	switch {
	case err != nil:
		return "", err
	case text.IsForeign():
		return "", refusedf("%w", urltoken.ErrKey)
	case found.version.URLSecret == "": // what it signs would be refused
		return "", refusedf("validation servers cannot verify yet what version %d (%s) signs: try again, or see what kubectl keyward -n %s status %s "+
			"says of the key", found.Version, found.Preview, key.Namespace, key.Name)
	}
	return text.Reveal(), nil
}

// projectOf returns the project that is signed for.
func projectOf(key *v1alpha1.ApiKey, asked string) (string, error) {
	projects := names(key.Spec.Projects)
	switch {
	case asked == "" && len(projects) == 1:
		return projects[0], nil
	case asked == "":
		return "", usagef("--project: the key is for %s; name the one that the URL belongs to", strings.Join(projects, ", "))
	}
	if slices.Contains(projects, asked) {
		return asked, nil
	}
	return "", refusedf("the key is not for project %q, but for %s", asked, strings.Join(projects, ", "))
}

// signedURL is the document of sign.
type signedURL struct {
	URL       string    `json:"url"`
	Project   string    `json:"project"`
	Path      string    `json:"path"`
	ExpiresAt time.Time `json:"expiresAt"`
}

func (a *app) printSigned(target, text string, claims urltoken.Claims) error {
	token, err := urltoken.Sign(text, claims)
	if err != nil {
		return refusedf("%w", err)
	}
	signed, err := urltoken.Add(target, token)
	if err != nil {
		return refusedf("%w", err)
	}
	document := signedURL{URL: signed, Project: claims.Project, Path: claims.Path, ExpiresAt: claims.Expires.UTC().Truncate(time.Second)}
	return a.print(document, func(p *page) { p.line("%s", signed) })
}
