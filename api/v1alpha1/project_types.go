package v1alpha1

// Project is a part of a Group's content.
type Project struct {
	// name of the project, unique within the Group.
	//
	// +required
	Name ProjectName `json:"name,omitempty"`

	// routes determine which requests are for this project, at most 32; one of them has to match.
	// Among the projects of the Group the most specific route wins: by host, then by the longest
	// literal path, then by the number of query parameters. Requests for a project without routes
	// are recognized only where the proxy names the project to the validation server.
	//
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	// +optional
	Routes []Route `json:"routes,omitempty"`

	// public are paths of this project that need no key, at most 16, with GET, HEAD and OPTIONS: /robots.txt, or
	// /.well-known/** for a subtree, with the patterns that paths of routes have. A path is public only exactly as it is
	// written, only while the Group is Active, and only where this project owns the request: another project, and another Group
	// with routes for the same hosts, keep what is theirs. Such requests use nothing of a quota, and are limited by client address.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:Pattern=`^/[^\s?#]*$`
	// +listType=set
	// +optional
	Public []string `json:"public,omitempty"`
}

// Route describes requests. All parts that are given must match, each with any of its values.
//
// +kubebuilder:validation:MinProperties=1
type Route struct {
	// methods are HTTP methods in upper case, at most 16; default: any.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:Pattern=`^[A-Z][A-Z-]*$`
	// +listType=set
	// +optional
	Methods []string `json:"methods,omitempty"`

	// hosts are host names without port, at most 32: cdn.acme.com, or *.acme.com for any subdomain of it;
	// default: any.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=255
	// +kubebuilder:validation:items:Pattern=`^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +listType=set
	// +optional
	Hosts []string `json:"hosts,omitempty"`

	// paths are patterns, at most 32: * matches any characters within one segment, a trailing /** matches
	// the subtree; default: any.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:Pattern=`^/[^\s?#]*$`
	// +listType=set
	// +optional
	Paths []string `json:"paths,omitempty"`

	// query lists parameters, at most 8, each with the values that match; a
	// request that gives a parameter twice must give only listed values.
	//
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=8
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) > 0 && size(k) <= 128)",message="parameter names have 1 to 128 characters"
	// +optional
	Query map[string]QueryValues `json:"query,omitempty"`
}

// QueryValues are the values of a query parameter that match, 1 to 32 with at most
// 256 characters each.
//
// +kubebuilder:validation:MinItems=1
// +kubebuilder:validation:MaxItems=32
// +kubebuilder:validation:items:MaxLength=256
// +listType=set
type QueryValues []string

// Capability is a named permission.
//
// +kubebuilder:validation:XValidation:rule="self.name != 'read'",message="read is built in: it allows GET and HEAD; give the capability another name"
type Capability struct {
	// name of the capability, unique within the Group; read is built in.
	//
	// +required
	Name PermissionName `json:"name,omitempty"`

	// routes are the requests that the capability allows, 1 to 32; one of them has to match.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	// +required
	Routes []Route `json:"routes,omitempty"`

	// cost is how many requests of a quota a request counts as that one of the routes matches, 0 to 1000; default: 1. It does
	// not depend on the permissions of the key. If several capabilities match, the highest cost counts.
	//
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	// +optional
	Cost *int32 `json:"cost,omitempty"`
}
