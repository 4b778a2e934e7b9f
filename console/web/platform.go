package web

import "github.com/keyward-dev/keyward/console/place"

func (c *console) routePlatform() {
	c.page(place.Platform, titled("Platform"), func(a *asked) (document, error) { return a.desk.Platform(a.r.Context()) })
}
