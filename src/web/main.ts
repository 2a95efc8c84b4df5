/** @file Starts the page on the data that the report's writer put into it. */

import { mount } from "svelte";
import type { StudyData } from "../report/data.ts";
import App from "./App.svelte";
import "./style.css";

const data = JSON.parse(document.getElementById("probeward-data")!.textContent!) as StudyData | null;
mount(App, { target: document.getElementById("app")!, props: { data } });
