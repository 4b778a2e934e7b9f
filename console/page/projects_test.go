package page

var exampleProjects = Projects{
	Projects: []Project{
		{Name: "media", Public: "/robots.txt, /.well-known/**", Routes: []Route{
			{Methods: "any", Hosts: "cdn.acme.example", Paths: "/scenes/**, /models/**", Query: "quality=high, low"},
			{Methods: "GET, HEAD", Hosts: "*.preview.acme.example", Paths: "any", Query: "any"},
		}},
		{Name: "maps"},
	},
	Capabilities: []Capability{
		{Name: "checkout", Cost: 1, Routes: []Route{{Methods: "POST", Hosts: "any", Paths: "/orders", Query: "any"}}},
		{Name: "render", Cost: 25, Routes: []Route{{Methods: "POST", Hosts: "any", Paths: "/render/*", Query: "any"}}},
	},
}
