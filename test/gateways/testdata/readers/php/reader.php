<?php
// Tells as JSON how PHP reads a request, in the ways that applications do. See reader_test.go.

function params(array $of): array {
    $found = [];
    foreach (['siteId', 'tenant_id'] as $name) {
        $found[$name] = [];
        if (isset($of[$name])) {
            $values = [$of[$name]];
            array_walk_recursive($values, function ($value) use (&$found, $name) { $found[$name][] = $value; });
        }
    }
    return $found;
}

// As numbers, as with (int) and intval(…, 0).
function numbers(array $of, int $base): array {
    return array_map(fn ($values) => array_map(fn ($value) => (string) ($base === 10 ? (int) $value : intval($value, $base)), $values), params($of));
}

$uri = $_SERVER['REQUEST_URI'];
$parsed = parse_url($uri);
$path = is_array($parsed) ? ($parsed['path'] ?? '/') : '/';
parse_str($_SERVER['QUERY_STRING'] ?? '', $own);
parse_str(is_array($parsed) ? ($parsed['query'] ?? '') : '', $ofURL);

$method = $_SERVER['REQUEST_METHOD'];
$overridden = $_SERVER['HTTP_X_HTTP_METHOD_OVERRIDE'] ?? $_SERVER['HTTP_X_HTTP_METHOD'] ?? $_SERVER['HTTP_X_METHOD_OVERRIDE'] ?? $method;
$original = $_SERVER['HTTP_X_ORIGINAL_URL'] ?? $_SERVER['HTTP_X_REWRITE_URL'] ?? $uri;

header('Content-Type: application/json');
echo json_encode([
    'paths' => [
        'parse_url, rawurldecode' => rawurldecode($path),
        'parse_url, urldecode' => urldecode($path),
        'cut at ?, rawurldecode' => rawurldecode(explode('?', $uri, 2)[0]),
        'SCRIPT_NAME, PATH_INFO' => $_SERVER['SCRIPT_NAME'] . ($_SERVER['PATH_INFO'] ?? ''),
        'X-Original-URL' => rawurldecode(explode('?', $original, 2)[0]),
    ],
    'params' => ['$_GET' => params($_GET), 'parse_str' => params($own), 'parse_url, parse_str' => params($ofURL),
        '(int)' => numbers($_GET, 10), 'intval, any base' => numbers($_GET, 0)],
    'hosts' => ['HTTP_HOST' => $_SERVER['HTTP_HOST'] ?? ''],
    'methods' => ['REQUEST_METHOD' => $method, 'with overrides' => $overridden],
], JSON_INVALID_UTF8_SUBSTITUTE);
