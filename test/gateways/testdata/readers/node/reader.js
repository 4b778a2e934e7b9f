// Tells as JSON how Node, qs and Express read a request, in the ways that applications do. See reader_test.go.
// Its arguments are three ports: of Node itself, Express as it is by default, and Express that minds case.
'use strict';
const http = require('http');
const querystring = require('querystring');
const url = require('url');

const names = ['siteId', 'tenant_id'];

function flat(value) {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value.flatMap(flat);
  if (typeof value === 'object') return Object.values(value).flatMap(flat);
  return [String(value)];
}

const params = (get) => Object.fromEntries(names.map((name) => [name, flat(get(name))]));

// As a number, with every function that there is for it. What is none stays as it is.
function numbers(convert, get) {
  return params((name) => flat(get(name)).map((text) => {
    const number = convert(text);
    return Number.isNaN(number) ? text : String(number);
  }));
}

function decoded(path) {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

function override(req) {
  for (const name of ['x-http-method-override', 'x-http-method', 'x-method-override']) {
    if (req.headers[name]) return req.headers[name].split(',')[0];
  }
  return req.method;
}

function core(req) {
  const old = url.parse(req.url, true);
  const reading = {
    paths: { 'url.parse': decoded(old.pathname || '/'), 'cut at ?': decoded(req.url.split('?')[0]) },
    params: {
      'url.parse': params((name) => old.query[name]),
      Number: numbers(Number, (name) => old.query[name]),
      parseInt: numbers((text) => parseInt(text, 10), (name) => old.query[name]),
      parseFloat: numbers(parseFloat, (name) => old.query[name]),
      querystring: params((name) => querystring.parse(req.url.split('?').slice(1).join('?'))[name]),
    },
    hosts: { 'headers.host': req.headers.host || '' },
    methods: { 'req.method': req.method, 'with overrides': override(req) },
  };
  try {
    const whatwg = new URL(req.url, 'http://reader.example');
    reading.paths.URL = decoded(whatwg.pathname);
    reading.params.URL = params((name) => whatwg.searchParams.getAll(name));
  } catch {
    // It is refused.
  }
  return reading;
}

function answer(res, reading) {
  const text = JSON.stringify(reading);
  res.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) });
  res.end(text);
}

function application(express, qs, mindsCase) {
  const app = express();
  app.set('case sensitive routing', mindsCase);
  app.set('query parser', 'extended');
  const read = (owner) => (req, res) => answer(res, {
    classes: { router: owner },
    params: {
      'req.query': params((name) => req.query[name]),
      qs: params((name) => qs.parse(url.parse(req.url).query || '', { allowDots: true })[name]),
    },
    hosts: { 'req.hostname': req.hostname || '' },
    methods: { 'req.method': req.method },
  });
  app.use('/secret', read('secret'));
  app.all('/report', read('secret'));
  app.use('/report.php', read('secret'));
  app.use('/docs/tree', read('tree'));
  app.use('/q', read('q'));
  app.use('/t', read('t'));
  app.use(read('website'));
  app.use((err, req, res, next) => res.status(400).end()); // eslint-disable-line no-unused-vars
  return app;
}

const port = Number(process.argv[2]);
const limits = { maxHeaderSize: 1 << 20, keepAliveTimeout: 600000 };
http.createServer(limits, (req, res) => answer(res, core(req))).listen(port, '127.0.0.1');
if (process.argv[5]) {
  const express = require(process.argv[5] + '/express');
  const qs = require(process.argv[5] + '/qs');
  [false, true].forEach((mindsCase, i) => {
    http.createServer(limits, application(express, qs, mindsCase)).listen(Number(process.argv[3 + i]), '127.0.0.1');
  });
}
