/** @file Starts the page on what was put into it: a study, or word that a server has studies. */

import { mount } from "svelte";
import type { PageData } from "../report/page.ts";
import App from "./App.svelte";
import "./style.css";

const data = JSON.parse(document.getElementById("probeward-data")!.textContent!) as PageData;
mount(App, { target: document.getElementById("app")!, props: { data } });
